// The physics of Pong: pure, deterministic, in double precision and in the order of operations of the environment that the
// policy was trained in (daybreak/rl/envs/pong.cc), to which a test compares it bit for bit. What differs is the game around the
// ball: the one who scored serves from its own edge, and the first to five points wins.
//
// Pixels and seconds; y grows downward. A paddle's position is its top edge, the ball's is its centre. The model has the left
// paddle, the player the right one.

export const COURT = {
  width: 640,
  height: 480,
  wall: 12,
  paddleWidth: 12,
  paddleHeight: 60,
  ballRadius: 5,
} as const;

export const STEP_S = 0.05;
export const POINTS_TO_WIN = 5;
export const OBSERVATION_SCALE = 500;

const BALL_TOP = COURT.wall + COURT.ballRadius; // 17
const BALL_BOTTOM = COURT.height - COURT.wall - COURT.ballRadius; // 463
const SERVE_SPEED = (COURT.width - 2 * COURT.ballRadius) / 4; // 157.5 px/s along each axis
const ACCELERATION = 8;
const DRIFT = ACCELERATION * STEP_S * STEP_S * 0.5; // added to both coordinates whatever the direction
const GAIN = ACCELERATION * STEP_S;
const PADDLE_TOP = COURT.wall; // 12
const PADDLE_BOTTOM = COURT.height - COURT.wall - COURT.paddleHeight; // 408
const PADDLE_SPEED = (PADDLE_BOTTOM - PADDLE_TOP) / 2; // 198 px/s

export type Side = "left" | "right";
export type Action = 0 | 1 | 2; // stop, down, up

// A uniform number in [0, 1).
export type Uniform = () => number;

export interface Ball {
  x: number;
  y: number;
  dx: number;
  dy: number;
  xPrev: number;
  yPrev: number;
}

export interface Paddle {
  readonly left: number;
  y: number;
  up: boolean; // a player may hold both: then it stands still, and spins the ball as one that goes up
  down: boolean;
}

export interface Happened {
  hit: Side | null; // whose paddle turned the ball around
  point: Side | null; // who scored
}

interface Point {
  x: number;
  y: number;
}

// Where a-b meets c-d, ends included; parallel ones do not meet.
function intersect(a: Point, b: Point, c: Point, d: Point): Point | null {
  const denominator = (d.y - c.y) * (b.x - a.x) - (d.x - c.x) * (b.y - a.y);
  if (denominator === 0) return null;
  const along = ((d.x - c.x) * (a.y - c.y) - (d.y - c.y) * (a.x - c.x)) / denominator;
  const across = ((b.x - a.x) * (a.y - c.y) - (b.y - a.y) * (a.x - c.x)) / denominator;
  if (!(along >= 0 && along <= 1 && across >= 0 && across <= 1)) return null;
  return { x: a.x + along * (b.x - a.x), y: a.y + along * (b.y - a.y) };
}

// Where a ball that moves by (nx, ny) meets the paddle widened by its radius: the front face first, then the bottom when it
// moves up or the top when it moves down.
function meet(from: Point, nx: number, ny: number, paddle: Paddle): { at: Point; front: boolean } | null {
  const to = { x: from.x + nx, y: from.y + ny };
  const left = paddle.left - COURT.ballRadius;
  const right = paddle.left + COURT.paddleWidth + COURT.ballRadius;
  const top = paddle.y - COURT.ballRadius;
  const bottom = paddle.y + COURT.paddleHeight + COURT.ballRadius;
  if (nx !== 0) {
    const face = nx < 0 ? right : left;
    const at = intersect(from, to, { x: face, y: top }, { x: face, y: bottom });
    if (at) return { at, front: true };
  }
  if (ny !== 0) {
    const face = ny < 0 ? bottom : top;
    const at = intersect(from, to, { x: left, y: face }, { x: right, y: face });
    if (at) return { at, front: false };
  }
  return null;
}

function move(paddle: Paddle): void {
  const amount = Number(paddle.down) - Number(paddle.up);
  if (amount === 0) return;
  paddle.y = Math.min(Math.max(paddle.y + amount * STEP_S * PADDLE_SPEED, PADDLE_TOP), PADDLE_BOTTOM);
}

// Sets the flags of a paddle as a policy's action does.
export function steer(paddle: Paddle, action: Action): void {
  paddle.down = action === 1;
  paddle.up = action === 2;
}

export class Game {
  readonly left: Paddle = { left: 0, y: PADDLE_TOP + (PADDLE_BOTTOM - PADDLE_TOP) / 2, up: false, down: false };
  readonly right: Paddle = { ...this.left, left: COURT.width - COURT.paddleWidth };
  readonly score: Record<Side, number> = { left: 0, right: 0 };
  ball: Ball = { x: 0, y: 0, dx: 0, dy: 0, xPrev: 0, yPrev: 0 };

  constructor(
    private readonly uniform: Uniform,
    private readonly pointsToWin: number = POINTS_TO_WIN,
  ) {
    this.serve("left");
  }

  get winner(): Side | null {
    if (this.score.left >= this.pointsToWin) return "left";
    return this.score.right >= this.pointsToWin ? "right" : null;
  }

  // A new match: the paddles stay where they are.
  restart(): void {
    const server = this.winner ?? "left";
    this.score.left = this.score.right = 0;
    this.serve(server);
  }

  // From the edge of whoever scored, toward the other. A serve has no past: its previous place is its own.
  private serve(from: Side): void {
    const x = from === "left" ? COURT.ballRadius : COURT.width - COURT.ballRadius;
    const y = BALL_TOP + (BALL_BOTTOM - BALL_TOP) * this.uniform();
    const dx = from === "left" ? SERVE_SPEED : -SERVE_SPEED;
    this.ball = { x, y, dx, dy: SERVE_SPEED, xPrev: x, yPrev: y };
  }

  // 0.05 s of play; nothing moves once somebody has won. When the ball leaves the court the next serve has already been made.
  step(): Happened {
    if (this.winner) return { hit: null, point: null };
    move(this.left);
    move(this.right);
    const hit = this.moveBall();
    let point: Side | null = null;
    if (this.ball.x - COURT.ballRadius > COURT.width) point = "left";
    if (this.ball.x + COURT.ballRadius < 0) point = "right";
    if (point) {
      this.score[point] += 1;
      this.serve(point);
    }
    return { hit, point };
  }

  private moveBall(): Side | null {
    const { x: fromX, y: fromY, dx: fromDx, dy: fromDy } = this.ball;
    let x = fromX + STEP_S * fromDx + DRIFT;
    let y = fromY + STEP_S * fromDy + DRIFT;
    const nx = x - fromX;
    const ny = y - fromY;
    let dx = fromDx + GAIN * (fromDx > 0 ? 1 : -1);
    let dy = fromDy + GAIN * (fromDy > 0 ? 1 : -1);

    if (dy > 0 && y > BALL_BOTTOM) {
      y = BALL_BOTTOM;
      dy = -dy;
    } else if (dy < 0 && y < BALL_TOP) {
      y = BALL_TOP;
      dy = -dy;
    }

    // The paddle is met along the path as it was before the wall turned it.
    const side = dx < 0 ? "left" : "right";
    const paddle = this[side];
    const met = meet({ x: fromX, y: fromY }, nx, ny, paddle);
    if (met) {
      if (met.front) {
        x = met.at.x;
        dx = -dx;
      } else {
        y = met.at.y;
        dy = -dy;
      }
      if (paddle.up) {
        dy = dy * (dy < 0 ? 0.5 : 1.5);
      } else if (paddle.down) {
        dy = dy * (dy > 0 ? 0.5 : 1.5);
      }
    }
    this.ball = { x, y, dx, dy, xPrev: fromX, yPrev: fromY };
    return met?.front ? side : null;
  }

  // What the model sees: eight numbers, each divided by 500.
  observe(): number[] {
    const { x, y, dx, dy, xPrev, yPrev } = this.ball;
    return [this.left.y, 0, x, y, dx, dy, xPrev, yPrev].map((value) => value / OBSERVATION_SCALE);
  }
}

// Where things are drawn between two steps.
export interface Moment {
  left: number;
  right: number;
  x: number;
  y: number;
}

export function moment(game: Game): Moment {
  return { left: game.left.y, right: game.right.y, x: game.ball.x, y: game.ball.y };
}

// `share` of the way from one moment to the next, 0 to 1. A serve is no movement: the ball is there at once.
export function between(before: Moment, after: Moment, share: number): Moment {
  const mix = (a: number, b: number): number => a + (b - a) * share;
  const served = Math.abs(after.x - before.x) > COURT.width / 2;
  return {
    left: mix(before.left, after.left),
    right: mix(before.right, after.right),
    x: served ? after.x : mix(before.x, after.x),
    y: served ? after.y : mix(before.y, after.y),
  };
}

// The scripted player of tests: it follows the ball with a dead band on the paddle's centre.
export function track(paddle: Paddle, ball: Pick<Ball, "y">, deadBand = 5): Action {
  const centre = paddle.y + COURT.paddleHeight / 2;
  if (ball.y > centre + deadBand) return 1;
  return ball.y < centre - deadBand ? 2 : 0;
}

// Uniform numbers from a seed (mulberry32): for tests and headless play.
export function seeded(seed: number): Uniform {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
