import assert from "node:assert/strict";
import { test } from "node:test";
import { type Action, COURT, Game, STEP_S, between, moment, seeded, steer, track } from "../src/game.js";

function play(game: Game, steps: number, left: () => Action, right: () => Action): ("left" | "right")[] {
  const points: ("left" | "right")[] = [];
  for (let i = 0; i < steps; i++) {
    steer(game.left, left());
    steer(game.right, right());
    const { point } = game.step();
    if (point) points.push(point);
  }
  return points;
}

test("whoever scored serves from its own edge, toward the other", () => {
  const game = new Game(seeded(1));
  assert.deepEqual([game.ball.x, game.ball.dx, game.ball.dy], [5, 157.5, 157.5]);
  while (game.score.left + game.score.right === 0) {
    steer(game.left, 0);
    steer(game.right, track(game.right, game.ball));
    game.step();
  }
  const left = game.score.left === 1;
  assert.deepEqual([game.ball.x, game.ball.dx], left ? [5, 157.5] : [635, -157.5]);
  assert.deepEqual([game.ball.xPrev, game.ball.yPrev], [game.ball.x, game.ball.y]);
});

test("the first to five points wins, and then nothing moves", () => {
  const game = new Game(seeded(3));
  const points = play(game, 20_000, () => 1, () => track(game.right, game.ball));
  assert.equal(Math.max(game.score.left, game.score.right), 5);
  assert.equal(points.length, game.score.left + game.score.right);
  const still = { ...game.ball };
  game.step();
  assert.deepEqual(game.ball, still);
  game.restart();
  assert.deepEqual([game.score, game.winner], [{ left: 0, right: 0 }, null]);
});

test("the same seed and actions give the same game", () => {
  const games = [1, 2].map(() => {
    const game = new Game(seeded(7));
    play(game, 2_000, () => track(game.left, game.ball), () => track(game.right, game.ball, 30));
    return [game.ball, game.score, game.left.y, game.right.y];
  });
  assert.deepEqual(games[0], games[1]);
});

test("a paddle moves 9.9 pixels a step and stays in the court", () => {
  const game = new Game(seeded(1));
  steer(game.left, 2);
  game.step();
  assert.equal(game.left.y, 210 - STEP_S * 198);
  play(game, 60, () => 2, () => 1);
  assert.deepEqual([game.left.y, game.right.y], [12, 408]);
});

test("a player who holds both directions stands still", () => {
  const game = new Game(seeded(1));
  game.right.up = game.right.down = true;
  game.step();
  assert.equal(game.right.y, 210);
});

test("the moving paddle spins the ball", () => {
  const dy = [0, 1, 2].map((action) => {
    const game = new Game(seeded(1));
    game.ball = { x: 20, y: 240, dx: -200, dy: 100, xPrev: 30, yPrev: 235 };
    steer(game.left, action as Action);
    assert.equal(game.step().hit, "left");
    assert.ok(game.ball.dx > 0);
    return game.ball.dy;
  });
  assert.deepEqual(dy, [100.4, 100.4 * 0.5, 100.4 * 1.5]);
});

test("the model sees eight numbers in units of 500 pixels", () => {
  const game = new Game(() => 0.5);
  assert.deepEqual(game.observe(), [210, 0, 5, 240, 157.5, 157.5, 5, 240].map((value) => value / 500));
});

test("what is drawn between two steps lies between them, but a serve is there at once", () => {
  const game = new Game(() => 0.5);
  const before = moment(game);
  game.step();
  const after = moment(game);
  const half = between(before, after, 0.5);
  assert.ok(half.x > before.x && half.x < after.x);
  const served = { ...after, x: COURT.width - 5 };
  assert.equal(between(before, served, 0.1).x, served.x);
});
