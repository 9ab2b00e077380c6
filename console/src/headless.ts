// Plays without a browser:
//   node headless.mjs ws://127.0.0.1:PORT/pong/predict [--token T] [--points N] [--pace STEPS_A_SECOND] [--seed S] [--version V]
// The model has the left paddle, a scripted player that follows the ball the right one. The game waits for each answer. Prints one
// line of JSON: balls that came to the model, how many it returned, the last 600 answers' latencies. Exit status 1 says why on stderr.
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { type Action, Game, seeded, steer, track } from "./game.js";
import { Window } from "./latency.js";
import { type Answer, readAnswer } from "./link.js";

const MAX_STEPS_A_POINT = 20_000; // two that never miss would play for ever
const ANSWER_TIMEOUT_MS = 10_000;
const BURST_MS = 50; // how far ahead of its pace it may get

class Connection {
  private waiting: { id: number; at: number; resolve: (answer: Answer) => void; reject: (error: Error) => void } | null = null;
  private nextId = 1;

  private constructor(private readonly socket: WebSocket) {
    socket.on("message", (data) => this.onMessage(String(data)));
    socket.on("close", (code, reason) => this.waiting?.reject(new Error(`the server closed the connection: ${code} ${String(reason)}`)));
  }

  static open(url: string, token: string | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const protocols = token === undefined ? ["daybreak.v1"] : ["daybreak.v1", `daybreak.token.${token}`];
      const socket = new WebSocket(url, protocols, { handshakeTimeout: ANSWER_TIMEOUT_MS });
      socket.on("open", () => resolve(new Connection(socket)));
      socket.on("error", reject);
    });
  }

  ask(input: number[], version: string | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      const slow = setTimeout(() => reject(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)), ANSWER_TIMEOUT_MS);
      const settle = <T>(act: (with_: T) => void) => (with_: T): void => {
        clearTimeout(slow);
        act(with_);
      };
      this.waiting = { id, at: performance.now(), resolve: settle(resolve), reject: settle(reject) };
      this.socket.send(JSON.stringify({ id, input, ...(version === undefined ? {} : { version }) }));
    });
  }

  close(): void {
    this.socket.close(1000);
  }

  private onMessage(text: string): void {
    const waiting = this.waiting;
    const answer = waiting && readAnswer(text, { ...waiting, late: false }, performance.now());
    if (answer) waiting.resolve(answer);
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      token: { type: "string" },
      points: { type: "string", default: "5" },
      pace: { type: "string", default: "1000" },
      seed: { type: "string", default: "1" },
      version: { type: "string" },
    },
  });
  const [url] = positionals;
  const [points, pace] = [Number(values.points), Number(values.pace)];
  if (url === undefined || !(points >= 1) || !(pace > 0)) throw new Error("usage: headless.mjs ws://HOST:PORT/APP/predict [--token T] [--points N]");

  const connection = await Connection.open(url, values.token);
  const game = new Game(seeded(Number(values.seed)), points);
  const trip = new Window();
  const server = new Window();
  const told = { balls: 0, returned: 0, steps: 0, misses: 0 };
  const versions = new Set<string>();
  const began = performance.now();
  let since = 0;
  while (game.score.left + game.score.right < points && since < MAX_STEPS_A_POINT) {
    const ahead = (told.steps * 1000) / pace - (performance.now() - began);
    if (ahead > BURST_MS) await sleep(ahead); // a server takes too many messages a second for a flood
    const answer = await connection.ask(game.observe(), values.version);
    trip.add(answer.roundTripMs);
    if (answer.serverMs !== null) server.add(answer.serverMs);
    if (answer.version !== null) versions.add(answer.version);
    if (answer.missed !== null) told.misses += 1;
    steer(game.left, answer.action);
    steer(game.right, chase(game));
    const { hit, point } = game.step();
    if (hit === "left") told.returned += 1;
    if (hit === "left" || point === "right") told.balls += 1;
    told.steps += 1;
    since = point ? 0 : since + 1;
  }
  connection.close();
  const of = (window: Window): Record<string, number> => {
    const at = (share: number): number => Number((window.percentile(share) ?? 0).toFixed(3));
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  };
  const rate = told.balls ? told.returned / told.balls : 0;
  console.log(
    JSON.stringify({ ...told, rate, score: game.score, versions: [...versions], round_trip_ms: of(trip), server_ms: of(server) }),
  );
}

// Follows the ball when it comes, and waits in the middle while it goes.
function chase(game: Game): Action {
  return game.ball.dx > 0 ? track(game.right, game.ball) : track(game.right, { y: 240 });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
