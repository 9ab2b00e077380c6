// For the Python tests that hold these sources against Daybreak's own: one question a line of JSON on stdin, one answer a line.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { type Bytes, base64url, fromBase64url, hex } from "../src/bytes.js";
import { type Action, type Ball, Game, steer } from "../src/game.js";
import { encodeEntity, entityId, sessionMessage } from "../src/grant.js";
import { createIdentity } from "../src/identity.js";

globalThis.crypto ??= webcrypto as unknown as Crypto;

interface Question {
  ball: Ball; // where a rally begins
  left: number;
  right: number;
  actions: [Action, Action][]; // of the left and the right paddle
  publicKey: string;
  from: number;
  until: number;
  commitment: string;
  seed: string;
  proof: string;
  challenge: string;
  server: string;
  origin: string;
  app: string;
}

// A PKCS #8 file of an Ed25519 seed is this and the seed.
const PKCS8 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);

const answers: Record<string, (question: Question) => unknown> = {
  // The state after each step: ball (x, y, dx, dy, previous x and y), left and right paddle; and the points of the rally.
  rally(question) {
    const game = new Game(() => 0.5);
    game.ball = question.ball;
    game.left.y = question.left;
    game.right.y = question.right;
    return question.actions.map(([left, right]) => {
      steer(game.left, left);
      steer(game.right, right);
      const { point } = game.step();
      const { x, y, dx, dy, xPrev, yPrev } = game.ball;
      return { state: [x, y, dx, dy, xPrev, yPrev, game.left.y, game.right.y], observation: game.observe(), point };
    });
  },

  async entity(question) {
    const bytes = [question.publicKey, question.commitment].map(fromBase64url) as [Bytes, Bytes];
    const record = encodeEntity(bytes[0], { from: question.from, until: question.until }, bytes[1]);
    return { record: base64url(record), id: hex(await entityId(record)) };
  },

  async identity() {
    const made = await createIdentity();
    return { record: base64url(made.record), id: made.id };
  },

  async session(question) {
    const seed = new Uint8Array([...PKCS8, ...fromBase64url(question.seed)]);
    const key = await crypto.subtle.importKey("pkcs8", seed, "Ed25519", false, ["sign"]);
    const audience = { server: question.server, origin: question.origin, app: question.app };
    const message = await sessionMessage(audience, fromBase64url(question.challenge), fromBase64url(question.proof));
    return base64url(new Uint8Array(await crypto.subtle.sign("Ed25519", key, message)));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as Question & { ask: string };
  console.log(JSON.stringify(await answers[question.ask]!(question)));
}
