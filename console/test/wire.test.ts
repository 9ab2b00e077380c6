import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { loopback } from "../src/api.js";
import { base64url, field, fromBase64url, hex, varint } from "../src/bytes.js";
import { encodeEntity } from "../src/grant.js";
import { createIdentity, sign } from "../src/identity.js";
import { Window, bucketOf } from "../src/latency.js";
import { readAnswer } from "../src/link.js";
import { pointsOf, short } from "../src/versions.js";

test("varints have their shortest form", () => {
  const forms = [0, 127, 128, 300, 1_790_000_000, 9_000_000_000].map((value) => hex(varint(value)));
  assert.deepEqual(forms, ["00", "7f", "8001", "ac02", "80f7c4d506", "80b4c4c321"]);
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 60]) assert.throws(() => varint(bad), RangeError);
});

test("base64url has no padding and nothing else gets through", () => {
  for (let size = 0; size < 9; size++) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => 250 - 7 * i);
    assert.equal(base64url(bytes), Buffer.from(bytes).toString("base64url"));
    assert.deepEqual(fromBase64url(base64url(bytes)), bytes);
  }
  for (const bad of ["a", "ab=", "a+/b", "a b"]) assert.throws(() => fromBase64url(bad), RangeError);
});

test("a field begins with its length in eight bytes", () => {
  assert.equal(hex(field(Uint8Array.of(7, 8))), "02000000000000000708");
});

test("an entity record that no reader would take is not written", () => {
  const key = new Uint8Array(32);
  assert.throws(() => encodeEntity(new Uint8Array(31), { from: 1, until: 2 }, key), RangeError);
  assert.throws(() => encodeEntity(key, { from: 2, until: 2 }, key), RangeError);
  assert.throws(() => encodeEntity(key, { from: 1, until: 9_000_000_001 }, key), RangeError);
});

test("the private key of an identity cannot be taken out", async () => {
  const identity = await createIdentity(1_790_000_000);
  assert.equal(identity.key.privateKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("pkcs8", identity.key.privateKey));
  assert.equal(identity.record.length, 1 + 32 + 1 + 5 + 5 + 32);
  assert.equal(identity.until, 1_790_000_000 + 86_400);
  const message = Uint8Array.of(1, 2, 3);
  assert.ok(await crypto.subtle.verify("Ed25519", identity.key.publicKey, await sign(identity, message), message));
  assert.notEqual((await createIdentity(1_790_000_000)).id, identity.id);
});

const SENT = { id: 7, at: 100, late: false };

test("an answer says the action, the version and how long it took", () => {
  const text = '{"id":7,"query_id":1,"output":"2","default":false,"version":"3","latency_us":180}';
  assert.deepEqual(readAnswer(text, SENT, 101.5), { action: 2, version: "3", roundTripMs: 1.5, serverMs: 0.18, missed: null });
  assert.equal(readAnswer('{"id":7,"output":1,"default":false}', SENT, 101)?.action, 1);
});

test("a default is a miss with its explanation, and an error one with its cause", () => {
  const late = readAnswer('{"id":7,"output":"0","default":true,"default_explanation":"overloaded"}', SENT, 101);
  assert.deepEqual([late?.action, late?.missed], [0, "overloaded"]);
  const error = readAnswer('{"id":7,"error":"Json error","cause":"no such version"}', SENT, 101);
  assert.deepEqual([error?.action, error?.missed], [0, "no such version"]);
});

test("what is no answer to the question is dropped, and no action is made of nonsense", () => {
  for (const text of ["", "null", "[]", "7", '{"id":8,"output":"1"}', '{"output":"1"}']) {
    assert.equal(readAnswer(text, SENT, 101), null, text);
  }
  for (const output of ['"7"', "null", '""', "[1]x", '"up"', "{}", "1e999"]) {
    const answer = readAnswer(`{"id":7,"output":${output},"default":false}`, SENT, 101);
    assert.ok(answer === null || (answer.action === 0 && answer.missed !== null), output);
  }
});

test("the agent is on this computer or it is none", () => {
  assert.equal(loopback("http://127.0.0.1:8123/x"), "http://127.0.0.1:8123");
  assert.equal(loopback("http://[::1]:8123"), "http://[::1]:8123");
  for (const bad of ["http://example.com", "http://127.0.0.1.example.com", "javascript:alert(1)", "", "127.0.0.1:80"]) {
    assert.equal(loopback(bad), null, bad);
  }
});

test("percentiles are of the last answers, and each answer is in one bucket", () => {
  const window = new Window();
  assert.equal(window.percentile(0.5), null);
  for (let i = 1; i <= 1000; i++) window.add(i);
  assert.deepEqual([window.percentile(0.5), window.percentile(0.99), window.percentile(1)], [700, 994, 1000]);
  assert.equal(window.histogram().reduce((a, b) => a + b), 600);
  assert.deepEqual([0, 0.05, 0.11, 1.01, 99, 1e9, Number.NaN].map(bucketOf), [0, 0, 1, 7, 18, 18, 0]);
});

test("a learning curve from outside is drawn where it is one", () => {
  const curve = { steps: [0, 1, 2], values: [1, Number.NaN, 3], metric: "return" };
  assert.deepEqual(pointsOf(curve), [{ step: 0, value: 1 }, { step: 2, value: 3 }]);
  assert.deepEqual(pointsOf({ ...curve, steps: 5 as never }), []);
  const many = Array.from({ length: 5000 }, (_, i) => i);
  assert.equal(pointsOf({ steps: many, values: many, metric: "" }).at(-1)?.step, 4999);
  assert.deepEqual([short(0), short(1500), short(2.5e6), short(0.1234)], ["0", "1.5 k", "2.5 M", "0.123"]);
});
