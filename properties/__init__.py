"""What must hold: functions from a case to steps and comparisons, and where pytest runs them."""
