// What Beast's algorithms read from and write to.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/role.hpp>
#include <memory>
#include <utility>

#include "daybreak/net/internal/stream.h"

namespace daybreak::net {

// An AnyStream with the faces that Beast asks of a stream.
class Layer {
 public:
  using executor_type = Socket::executor_type;

  explicit Layer(std::unique_ptr<AnyStream> stream) : stream_(std::move(stream)) {}
  executor_type get_executor() { return stream_->socket().get_executor(); }
  void close() {
    error_code ignored;
    stream_->socket().close(ignored);
  }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& to, Handler&& done) {
    asio::mutable_buffer first;
    for (auto it = asio::buffer_sequence_begin(to); it != asio::buffer_sequence_end(to) && first.size() == 0; ++it)
      first = *it;
    stream_->async_read_some(first, std::forward<Handler>(done));
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& from, Handler&& done) {
    std::array<asio::const_buffer, 8> pieces;
    std::size_t count = 0;
    for (auto it = asio::buffer_sequence_begin(from); it != asio::buffer_sequence_end(from) && count < pieces.size();
         ++it) {
      if (const asio::const_buffer piece = *it; piece.size() > 0) pieces[count++] = piece;
    }
    stream_->async_write_some({pieces.data(), count}, std::forward<Handler>(done));
  }

  // Beast finds these two by their names.
  friend void beast_close_socket(Layer& layer) { layer.close(); }
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type, Layer& layer, Handler&& done) {
    layer.stream_->async_teardown(std::forward<Handler>(done));
  }

 private:
  std::unique_ptr<AnyStream> stream_;
};

}  // namespace daybreak::net
