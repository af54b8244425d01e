#!/usr/bin/env node
// Writes typed-viem.json: EIP-712 struct hashes and the leaf hash by viem, independent of Solidity and of Rust.
// Run by hand when a type changes (which is a new protocol version): node test/vectors/generate-typed.mjs
import {writeFileSync} from "node:fs";
import {encodeAbiParameters, keccak256, parseAbiParameters, stringToHex} from "viem";
import {hashStruct} from "viem/utils";
import {types, leafType} from "../../check/types.mjs";

let counter = 1;
const value = (type) => {
  const n = counter++;
  if (type === "bytes32") return keccak256(stringToHex(`plumbline ${n}`));
  if (type === "address") return `0x${n.toString(16).padStart(40, "e")}`;
  return type === "uint8" ? n : BigInt(n) * 0x01000001n;
};
const fill = (fields) => Object.fromEntries(fields.map(({name, type}) => [name, value(type)]));
const encode = (fields, data) => encodeAbiParameters(fields, fields.map(({name}) => data[name]));

const cases = {};
for (const name of Object.keys(types)) {
  const data = fill(types[name]);
  cases[name] = {encoded: encode(types[name], data), hash: hashStruct({primaryType: name, types, data})};
}
const data = fill(leafType);
const typed = hashStruct({primaryType: "Leaf", types: {Leaf: leafType}, data});
cases.Leaf = {encoded: encode(leafType, data), hash: keccak256(encodeAbiParameters(parseAbiParameters("bytes32"), [typed]))};

const about = "By viem 2.40.0 (generate-typed.mjs). encoded = the fields as ABI words; Leaf is hashed twice.";
writeFileSync(new URL("typed-viem.json", import.meta.url), JSON.stringify({about, ...cases}, null, 2) + "\n");
