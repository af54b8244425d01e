#!/usr/bin/env node
// What an integrator gets: packs this folder as npm would, lays it into the project of check/integrator outside of this
// repository, and runs that project's tests there; then compiles every packed source with the oldest compiler that their
// pragma allows. Leaves out: publishing.
import {execFileSync} from "node:child_process";
import {cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync} from "node:fs";
import {createRequire} from "node:module";
import {tmpdir} from "node:os";
import {join, relative} from "node:path";
import {fileURLToPath} from "node:url";

const require = createRequire(import.meta.url);
const here = fileURLToPath(new URL("..", import.meta.url));
const project = mkdtempSync(join(tmpdir(), "plumbline-integrator-"));
const run = (command, args, cwd) => execFileSync(command, args, {cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"]});

/** Every .sol file below a folder. */
function sources(folder) {
  return readdirSync(folder, {withFileTypes: true}).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : path.endsWith(".sol") ? [path] : [];
  });
}

/** Compiles with the compiler of the pragma's lower end; imports come from the same node_modules. */
function compileWithFloor(modules, files) {
  const solc = require("solc-floor");
  const name = (path) => relative(modules, path);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(files.map((path) => [name(path), {content: readFileSync(path, "utf8")}])),
    settings: {remappings: ["@openzeppelin/=@openzeppelin/"], outputSelection: {"*": {"*": ["evm.bytecode.object"]}}},
  };
  const read = (path) => {
    try {
      return {contents: readFileSync(join(modules, path), "utf8")};
    } catch (error) {
      return {error: error.message};
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), {import: read}));
  const errors = (output.errors ?? []).filter(({severity}) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map(({formattedMessage}) => formattedMessage).join("\n"));
  return solc.version();
}

try {
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--loglevel=error", "--ignore-scripts", "--pack-destination", project], here));
  const modules = join(project, "node_modules");
  const target = join(modules, "plumbline-contracts");
  cpSync(join(here, "check/integrator"), project, {recursive: true});
  cpSync(join(here, "solcjs-wrap"), join(project, "solcjs-wrap"));
  mkdirSync(target, {recursive: true});
  run("tar", ["xzf", join(project, packed.filename), "--strip-components=1", "-C", target], project);
  // The compiler, its parts and OpenZeppelin, as `npm install` would put them; nothing else of this repository.
  for (const name of readdirSync(join(here, "node_modules"))) {
    if (!name.startsWith(".") && name !== "plumbline-contracts") symlinkSync(join(here, "node_modules", name), join(modules, name));
  }
  rmSync(join(modules, "@openzeppelin"));
  cpSync(join(here, "node_modules/@openzeppelin"), join(modules, "@openzeppelin"), {recursive: true});

  const test = run(join(here, "node_modules/.bin/forge"), ["test"], project);
  const passed = /(\d+) tests? passed, 0 failed/.exec(test)?.[1] ?? "0";
  if (passed === "0") throw new Error(`no test of the integrator ran:\n${test}`);
  const files = sources(target);
  const version = compileWithFloor(modules, files);
  console.log(`package: ${packed.files.length} files, ${passed} tests of an integrator's contract passed, ` +
    `${files.length} sources compile with ${version.split("+")[0]}`);
} catch (error) {
  console.error(`package: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(project, {recursive: true});
}
