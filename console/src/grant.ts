// What a holder of a grant writes and signs: docs/formats/grant-encoding.md and grant-possession.md.
import { type Bytes, concat, field, utf8, varint } from "./bytes.js";

const MAX_UNIX_S = 9_000_000_000;

export interface Validity {
  from: number; // unix second, in it
  until: number; // not in it
}

export interface Audience {
  server: string;
  origin: string;
  app: string;
}

async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}

function tag(name: string): Bytes {
  return utf8(`daybreak/grant/${name}/v1\0`);
}

export function revocationCommitment(secret: Uint8Array): Promise<Bytes> {
  return sha256(tag("revocation"), secret);
}

// The public record of an entity that has an Ed25519 key and none to which anything could be sealed.
export function encodeEntity(publicKey: Uint8Array, validity: Validity, commitment: Uint8Array): Bytes {
  if (publicKey.length !== 32 || commitment.length !== 32) throw new RangeError("a key and a commitment have 32 bytes");
  if (!(validity.from >= 0 && validity.from < validity.until && validity.until <= MAX_UNIX_S)) {
    throw new RangeError(`a validity from ${validity.from} until ${validity.until} is none`);
  }
  const version = Uint8Array.of(1);
  const noSealingKey = Uint8Array.of(0);
  return concat(version, publicKey, noSealingKey, varint(validity.from), varint(validity.until), commitment);
}

export function entityId(record: Uint8Array): Promise<Bytes> {
  return sha256(tag("entity"), record);
}

export function proofHash(proof: Uint8Array): Promise<Bytes> {
  return sha256(tag("proof"), proof);
}

// What the subject of a proof signs to open a session.
export async function sessionMessage(audience: Audience, challenge: Uint8Array, proof: Uint8Array): Promise<Bytes> {
  const about = [audience.server, audience.origin, audience.app].map((text) => field(utf8(text)));
  const digest = await sha256(tag("session"), ...about, field(challenge), field(await proofHash(proof)));
  return concat(tag("session"), digest);
}
