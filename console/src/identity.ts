// Who this browser is: an Ed25519 key that WebCrypto keeps and never hands out, and the entity record that names it
// (docs/formats/grant-encoding.md). Both live in IndexedDB, with the proof that was granted to them; a proof is no secret.
import { type Bytes, hex } from "./bytes.js";
import { encodeEntity, entityId, revocationCommitment } from "./grant.js";

const VALID_BEFORE_S = 3600; // the clocks of others may be behind
const VALID_FOR_S = 86_400;
const RENEW_BEFORE_S = 3600; // an identity that ends sooner is replaced before it is granted anything

export interface Identity {
  key: CryptoKeyPair;
  record: Bytes;
  id: string; // hex
  until: number; // unix second
  proof: Bytes | null;
}

// Nothing with which this page could hold a key of its own; the message says the way out.
export class NoKey extends Error {}

export async function createIdentity(nowS: number = Date.now() / 1000): Promise<Identity> {
  const key = (await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])) as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", key.publicKey));
  // The secret is dropped: the lab revokes what it granted, and the entity itself ends within a day.
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const validity = { from: Math.floor(nowS) - VALID_BEFORE_S, until: Math.floor(nowS) + VALID_FOR_S };
  const record = encodeEntity(publicKey, validity, await revocationCommitment(secret));
  return { key, record, id: hex(await entityId(record)), until: validity.until, proof: null };
}

export async function sign(identity: Pick<Identity, "key">, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", identity.key.privateKey, message));
}

export function endsSoon(identity: Identity): boolean {
  return identity.until - Date.now() / 1000 < RENEW_BEFORE_S;
}

// The identity of this browser: the one that is kept, or a new one.
export async function ownIdentity(): Promise<Identity> {
  if (!globalThis.crypto?.subtle) {
    throw new NoKey(
      "Browsers hand out keys on secure pages only. Open this page as http://127.0.0.1 or http://localhost (ssh -L brings it there), or over https.",
    );
  }
  const kept = await load();
  if (kept && !endsSoon(kept)) return kept;
  try {
    const made = await createIdentity();
    await keep(made);
    return made;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    throw new NoKey(
      "This browser cannot make Ed25519 keys. Use Chrome or Edge 137 or later, Firefox 129 or later, or Safari 17 or later.",
    );
  }
}

const STORE = "identity";

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("daybreak-console", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB cannot be opened"));
  });
}

async function inStore<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opened = await database();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = opened.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB gave up"));
    });
  } finally {
    opened.close();
  }
}

// A private window may have no IndexedDB: then the identity lasts as long as the page.
async function load(): Promise<Identity | null> {
  try {
    return ((await inStore("readonly", (store) => store.get("own"))) as Identity | undefined) ?? null;
  } catch {
    return null;
  }
}

export async function keep(identity: Identity): Promise<void> {
  try {
    await inStore("readwrite", (store) => store.put(identity, "own"));
  } catch {
    // It lasts as long as the page.
  }
}
