"""What masked steps hold, as the source text of a NumPy expression."""

from __future__ import annotations

from catalogue.cases import Content

__all__ = ["content_source"]

_SOURCES: dict[Content, str] = {
    "zeros": "0.0",
    "ones": "1.0",
    "tenth": "0.1",
    "large": "1e4",
    "largest": "np.finfo({dtype!r}).max",
    "inf": "np.inf",
    "-inf": "-np.inf",
    "nan": "np.nan",
}


def content_source(content: Content, *, dtype: str, shape: tuple[int, ...], seed: int) -> str:
    """The expression of a content in a dtype; noise is drawn from a seed for a whole shape."""
    if content == "noise":
        return f"np.random.default_rng({seed}).uniform(-9, 9, {shape}).astype({dtype!r})"
    return f"np.array({_SOURCES[content].format(dtype=dtype)}, {dtype!r})"
