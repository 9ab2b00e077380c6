#include "daybreak/rl/envs/pong.h"

#include <cmath>
#include <optional>

namespace daybreak::rl {
namespace {

constexpr std::int64_t kStop = 0, kDown = 1, kUp = 2;

constexpr double kPongDt = PongCourt::kStepSeconds;
constexpr double kPongRadius = PongCourt::kBallRadius;
constexpr double kBallTop = PongCourt::kWall + kPongRadius;                          // 17
constexpr double kBallBottom = PongCourt::kHeight - PongCourt::kWall - kPongRadius;  // 463
constexpr double kBallLeft = kPongRadius, kBallRight = PongCourt::kWidth - kPongRadius;
constexpr double kServeSpeed = (kBallRight - kBallLeft) / 4;  // 157.5 px/s along each axis
constexpr double kServeX = (kBallRight + kBallLeft) / 2;
constexpr double kAcceleration = 8;
constexpr double kDrift = kAcceleration * kPongDt * kPongDt * 0.5;  // added to both coordinates whatever the direction
constexpr double kGain = kAcceleration * kPongDt;

constexpr double kPaddleTop = PongCourt::kWall;                                                     // 12
constexpr double kPaddleBottom = PongCourt::kHeight - PongCourt::kWall - PongCourt::kPaddleHeight;  // 408
constexpr double kPaddleSpeed = (kPaddleBottom - kPaddleTop) / 2;                                   // 198 px/s

constexpr double kReactionSeconds = 0.1;  // how long a prediction is kept
constexpr double kErrorPixels = 120;      // its noise a court's width away
constexpr double kHorizonSeconds = 10;    // how far ahead it looks
constexpr double kFar = 10000;            // half the height of the line it looks at
constexpr double kDeadBand = 5;

struct Point {
  double x, y;
};

struct Rectangle {
  double left, right, top, bottom;
};

struct Hit {
  Point at;
  bool front;  // a face that turns dx; otherwise top or bottom, which turns dy
};

// Where the segment a-b meets c-d, ends included; parallel ones do not meet. A quotient of doubles rounds to more than
// 1 exactly if its numerator is the larger one, so most misses are seen without a division. Inlined:
// points that are passed through memory cost more than the arithmetic.
[[gnu::always_inline]] inline std::optional<Point> intersect(Point a, Point b, Point c, Point d) {
  const double denominator = (d.y - c.y) * (b.x - a.x) - (d.x - c.x) * (b.y - a.y);
  if (denominator == 0) return std::nullopt;
  const double along_top = (d.x - c.x) * (a.y - c.y) - (d.y - c.y) * (a.x - c.x);
  const double across_top = (b.x - a.x) * (a.y - c.y) - (b.y - a.y) * (a.x - c.x);
  if (std::fabs(along_top) > std::fabs(denominator) || std::fabs(across_top) > std::fabs(denominator))
    return std::nullopt;
  const double along = along_top / denominator, across = across_top / denominator;
  if (!(along >= 0 && along <= 1 && across >= 0 && across <= 1)) return std::nullopt;
  return Point{a.x + along * (b.x - a.x), a.y + along * (b.y - a.y)};
}

// Where a ball at `from` that moves by (nx, ny) meets the rectangle widened by its radius: the front face first, then
// the bottom when it moves up or the top when it moves down.
[[gnu::always_inline]] inline std::optional<Hit> hit(Point from, double nx, double ny, const Rectangle& r) {
  const Point to{from.x + nx, from.y + ny};
  const double left = r.left - kPongRadius, right = r.right + kPongRadius, top = r.top - kPongRadius,
               bottom = r.bottom + kPongRadius;
  if (nx != 0) {
    const double face = nx < 0 ? right : left;
    if (auto point = intersect(from, to, {face, top}, {face, bottom})) return Hit{*point, true};
  }
  if (ny != 0) {
    const double face = ny < 0 ? bottom : top;
    if (auto point = intersect(from, to, {left, face}, {right, face})) return Hit{*point, false};
  }
  return std::nullopt;
}

}  // namespace

void PongGame::Paddle::act(std::int64_t action) {
  if (action == kStop) up = down = false;
  if (action == kDown) up = false, down = true;
  if (action == kUp) up = true, down = false;
  const int amount = int{down} - int{up};
  if (amount == 0) return;
  y = y + amount * kPongDt * kPaddleSpeed;
  if (y < kPaddleTop) {
    y = kPaddleTop;
  } else if (y > kPaddleBottom) {
    y = kPaddleBottom;
  }
}

void PongGame::serve(double dx, UniformSource& uniform) {
  const double y = kBallTop + (kBallBottom - kBallTop) * uniform.next();
  ball_.x_prev = served_ ? ball_.x : kServeX;  // the discarded serve's place, and in the very first episode its own
  ball_.y_prev = served_ ? ball_.y : y;
  ball_.x = kServeX;
  ball_.y = y;
  ball_.dx = dx;
  ball_.dy = kServeSpeed;
  served_ = true;
}

void PongGame::reset(UniformSource& uniform) {
  serve(-kServeSpeed, uniform);
}

PongGame::Winner PongGame::step(std::int64_t action, UniformSource& uniform) {
  agent_.act(action);
  move_opponent(uniform);
  move_ball();
  if (ball_.x - kPongRadius > PongCourt::kWidth) {
    serve(-kServeSpeed, uniform);
    return Winner::kAgent;
  }
  if (ball_.x + kPongRadius < 0) {
    serve(kServeSpeed, uniform);
    return Winner::kOpponent;
  }
  return Winner::kNobody;
}

void PongGame::predict(UniformSource& uniform) {
  if (prediction_.exists && prediction_.dx * ball_.dx > 0 && prediction_.dy * ball_.dy > 0 &&
      prediction_.age < kReactionSeconds) {
    prediction_.age += kPongDt;
    return;
  }
  const double left = opponent_.left, right = opponent_.left + PongCourt::kPaddleWidth;
  const auto meeting = hit({ball_.x, ball_.y}, ball_.dx * kHorizonSeconds, ball_.dy * kHorizonSeconds,
                           {.left = left, .right = right, .top = -kFar, .bottom = kFar});
  prediction_.exists = meeting.has_value();
  if (!meeting) return;
  double y = meeting->at.y;
  while (y < kBallTop || y > kBallBottom) {  // each turn brings it a court's height nearer
    y = y < kBallTop ? kBallTop + (kBallTop - y) : kBallTop + (kBallBottom - kBallTop) - (y - kBallBottom);
  }
  prediction_.age = 0;
  prediction_.dx = ball_.dx;
  prediction_.dy = ball_.dy;
  const double closeness = (ball_.dx < 0 ? ball_.x - right : left - ball_.x) / PongCourt::kWidth;
  const double error = kErrorPixels * closeness;
  prediction_.y = y + (-error + (error - -error) * uniform.next());
}

// It decides on the ball as it was before this step.
void PongGame::move_opponent(UniformSource& uniform) {
  const double left = opponent_.left, right = opponent_.left + PongCourt::kPaddleWidth;
  if ((ball_.x < left && ball_.dx < 0) || (ball_.x > right && ball_.dx > 0)) {
    opponent_.up = opponent_.down = false;
    return;
  }
  predict(uniform);
  if (prediction_.exists) {
    const double top = opponent_.y, bottom = opponent_.y + PongCourt::kPaddleHeight;
    if (prediction_.y < top + PongCourt::kPaddleHeight / 2 - kDeadBand) {
      opponent_action_ = kUp;
    } else if (prediction_.y > bottom - PongCourt::kPaddleHeight / 2 + kDeadBand) {
      opponent_action_ = kDown;
    } else {
      opponent_action_ = kStop;
    }
  }
  opponent_.act(opponent_action_);
}

void PongGame::move_ball() {
  double x = ball_.x + kPongDt * ball_.dx + kDrift;
  double y = ball_.y + kPongDt * ball_.dy + kDrift;
  const double nx = x - ball_.x, ny = y - ball_.y;
  double dx = ball_.dx + kGain * (ball_.dx > 0 ? 1 : -1);
  double dy = ball_.dy + kGain * (ball_.dy > 0 ? 1 : -1);

  if (dy > 0 && y > kBallBottom) {
    y = kBallBottom;
    dy = -dy;
  } else if (dy < 0 && y < kBallTop) {
    y = kBallTop;
    dy = -dy;
  }

  // The paddle is met along the path as it was before the wall turned it.
  const Paddle& paddle = dx < 0 ? agent_ : opponent_;
  const Rectangle body{.left = paddle.left,
                       .right = paddle.left + PongCourt::kPaddleWidth,
                       .top = paddle.y,
                       .bottom = paddle.y + PongCourt::kPaddleHeight};
  if (const auto met = hit({ball_.x, ball_.y}, nx, ny, body)) {
    if (met->front) {
      x = met->at.x;
      dx = -dx;
    } else {
      y = met->at.y;
      dy = -dy;
    }
    if (paddle.up) {
      dy = dy * (dy < 0 ? 0.5 : 1.5);
    } else if (paddle.down) {
      dy = dy * (dy > 0 ? 0.5 : 1.5);
    }
  }
  ball_ = {.x = x, .y = y, .dx = dx, .dy = dy, .x_prev = ball_.x, .y_prev = ball_.y};
}

void PongGame::observe(double* observation) const {
  constexpr double kScale = PongCourt::kObservationScale;
  observation[0] = agent_.y / kScale;
  observation[1] = 0;
  observation[2] = ball_.x / kScale;
  observation[3] = ball_.y / kScale;
  observation[4] = ball_.dx / kScale;
  observation[5] = ball_.dy / kScale;
  observation[6] = ball_.x_prev / kScale;
  observation[7] = ball_.y_prev / kScale;
}

}  // namespace daybreak::rl
