#!/usr/bin/env node
// Writes bls-noble.json: MinSig certificates made by @noble/curves, independent of this repository's BLS code.
// Run by hand when a case is added: node test/vectors/generate.mjs
import {createHash} from "node:crypto";
import {writeFileSync} from "node:fs";
import {bls12_381} from "@noble/curves/bls12-381.js";

const DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const hex = (bytes) => "0x" + Buffer.from(bytes).toString("hex");
const fp = (value, width) => value.toString(16).padStart(width * 2, "0");
const g1 = (point, width) => {
  const {x, y} = point.toAffine();
  return "0x" + fp(x, width) + fp(y, width);
};
const g2 = (point) => {
  const {x, y} = point.toAffine();
  return "0x" + [x.c0, x.c1, y.c0, y.c1].map((value) => fp(value, 64)).join("");
};
const short = bls12_381.shortSignatures;

const cases = ["one", "two", "three"].map((name) => {
  const secret = createHash("sha256").update(`plumbline test secret ${name}`).digest();
  secret[0] &= 0x3f; // below the group order
  const message = createHash("sha256").update(`plumbline test message ${name}`).digest();
  const point = short.hash(message, DST);
  return {
    name,
    secret: hex(secret),
    key: g2(short.getPublicKey(secret)),
    message: hex(message),
    hashed: g1(point, 64),
    signature: g1(short.sign(point, secret), 48),
  };
});
const about = "By @noble/curves 2.0.1 (generate.mjs). secret is a test scalar; hashed is 128 bytes, signature 96, key 256.";
writeFileSync(new URL("bls-noble.json", import.meta.url), JSON.stringify({about, dst: DST, cases}, null, 2) + "\n");
