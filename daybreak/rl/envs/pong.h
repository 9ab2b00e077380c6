// PongJS as the 2018 course played it, in double precision and in the original's order of operations and of random
// draws.
#pragma once

#include <cstdint>

namespace daybreak::rl {

// Where the game takes its random draws from: a number in [0, 1) a call, in the order in which the game meets them.
class UniformSource {
 public:
  virtual double next() = 0;

 protected:
  ~UniformSource() = default;
};

// The court, in pixels; y grows downward. A paddle's position is its top edge, the ball's is its centre.
struct PongCourt {
  static constexpr double kWidth = 640, kHeight = 480, kWall = 12;
  static constexpr double kPaddleWidth = 12, kPaddleHeight = 60, kBallRadius = 5;
  static constexpr double kStepSeconds = 0.05;
  static constexpr double kObservationScale = 500;  // an observation is in pixels divided by this
};

// The whole game: a plain value of fixed size, so that a copy is a save. The agent has the left paddle, the scripted
// opponent the right one. As in the original, a new serve leaves the paddles, their flags and the opponent's prediction
// where the last rally left them; a fresh PongGame is the only full reset.
class PongGame {
 public:
  enum class Winner : std::uint8_t { kNobody, kAgent, kOpponent };

  static constexpr int kActions = 3;  // 0 stop, 1 down, 2 up
  static constexpr int kObservationSize = 8;

  // What the original's reset() does: one serve toward the agent; one draw.
  void reset(UniformSource& uniform);

  // 0.05 s of play; needs a reset() before the first. An action other than 0, 1, 2 keeps the agent's present direction.
  // When the rally ends the game has already served again (one more draw), which is what observe() then shows.
  Winner step(std::int64_t action, UniformSource& uniform);

  bool served() const { return served_; }

  // Eight numbers: the agent's top y, 0, the ball's x, y, dx, dy, and its x, y one step ago; pixels and pixels a
  // second, each / 500.
  void observe(double* observation) const;

  // What there is to draw.
  double agent_y() const { return agent_.y; }
  double opponent_y() const { return opponent_.y; }
  double ball_x() const { return ball_.x; }
  double ball_y() const { return ball_.y; }

  // Shows every number and flag of the game to `visit`, always in the same order: how a game is saved and read back.
  template <typename Game, typename Visit>
  static void each_field(Game& game, Visit visit) {
    for (auto* value : {&game.ball_.x, &game.ball_.y, &game.ball_.dx, &game.ball_.dy, &game.ball_.x_prev,
                        &game.ball_.y_prev, &game.agent_.y, &game.opponent_.y, &game.prediction_.y,
                        &game.prediction_.age, &game.prediction_.dx, &game.prediction_.dy}) {
      visit(*value);
    }
    visit(game.opponent_action_);
    for (auto* flag : {&game.agent_.up, &game.agent_.down, &game.opponent_.up, &game.opponent_.down,
                       &game.prediction_.exists, &game.served_}) {
      visit(*flag);
    }
  }

  bool operator==(const PongGame&) const = default;

 private:
  struct Ball {
    double x = 0, y = 0, dx = 0, dy = 0, x_prev = 0, y_prev = 0;
    bool operator==(const Ball&) const = default;
  };
  struct Paddle {
    double left;  // its other sides follow from y
    double y = PongCourt::kWall + (PongCourt::kHeight - 2 * PongCourt::kWall - PongCourt::kPaddleHeight) / 2;
    bool up = false, down = false;
    bool operator==(const Paddle&) const = default;
    void act(std::int64_t action);
  };
  struct Prediction {
    bool exists = false;
    double y = 0, age = 0, dx = 0, dy = 0;
    bool operator==(const Prediction&) const = default;
  };

  void serve(double dx, UniformSource& uniform);
  void predict(UniformSource& uniform);
  void move_opponent(UniformSource& uniform);
  void move_ball();

  Ball ball_;
  Paddle agent_{.left = 0};
  Paddle opponent_{.left = PongCourt::kWidth - PongCourt::kPaddleWidth};
  Prediction prediction_;
  std::int64_t opponent_action_ = 0;
  bool served_ = false;
};

}  // namespace daybreak::rl
