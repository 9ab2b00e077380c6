#include "daybreak/runtime/cpp/code_address.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "daybreak/base/mutex.h"

namespace daybreak::runtime {

namespace {

struct LoadedModule {
  std::uintptr_t base = 0;
  std::uintptr_t from = 0, to = 0;  // of its segments
  std::string build_id, path;
};

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

// The notes of a module lie one behind the other: sizes of name and content, a type, then both, each to a multiple of 4.
std::string build_id_of(const unsigned char* notes, std::size_t size) {
  auto rounded = [](std::size_t n) { return (n + 3) / 4 * 4; };
  for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes + at, sizeof note);
    const std::size_t name = at + sizeof note, content = name + rounded(note.n_namesz);
    const std::size_t next = content + rounded(note.n_descsz);
    if (next > size) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(notes + name, "GNU", 4) == 0)
      return hexadecimal(notes + content, note.n_descsz);
    at = next;
  }
  return {};
}

int add_module(dl_phdr_info* info, std::size_t, void* to) {
  LoadedModule module{.base = info->dlpi_addr, .path = info->dlpi_name};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const std::uintptr_t from = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD) {
      if (module.to == 0 || from < module.from) module.from = from;
      module.to = std::max<std::uintptr_t>(module.to, from + header.p_memsz);
    } else if (header.p_type == PT_NOTE && module.build_id.empty()) {
      module.build_id = build_id_of(reinterpret_cast<const unsigned char*>(from), header.p_memsz);
    }
  }
  static_cast<std::vector<LoadedModule>*>(to)->push_back(std::move(module));
  return 0;
}

class LoadedModules {
 public:
  template <typename F>
  std::optional<LoadedModule> find(F&& wanted) DAYBREAK_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    for (bool again : {false, true}) {
      if (again || modules_.empty()) {
        modules_.clear();
        dl_iterate_phdr(add_module, &modules_);
      }
      for (const LoadedModule& module : modules_)
        if (wanted(module)) return module;
    }
    return std::nullopt;
  }

 private:
  base::Mutex mutex_;
  std::vector<LoadedModule> modules_ DAYBREAK_GUARDED_BY(mutex_);
};

LoadedModules& loaded_modules() {
  static LoadedModules the_modules;
  return the_modules;
}

}  // namespace

base::Result<CodeAddress> code_address(const void* code) {
  const auto at = reinterpret_cast<std::uintptr_t>(code);
  const auto module = loaded_modules().find([&](const LoadedModule& m) { return m.from <= at && at < m.to; });
  if (!module) return base::fail(base::Code::kInvalidArgument, "{} is not the address of a function", code);
  if (module->build_id.empty())
    return base::fail(base::Code::kInvalidArgument,
                      "{} has no build id, by which a worker knows that it is the same build: link it with "
                      "-Wl,--build-id",
                      module->path.empty() ? "the program" : module->path);
  return CodeAddress{module->build_id, at - module->base, module->path};
}

base::Result<const void*> find_code(const CodeAddress& address) {
  auto same = [&](const LoadedModule& m) {
    return !address.build_id.empty() && m.build_id.starts_with(address.build_id) &&
           address.offset < m.to - std::min(m.base, m.to);
  };
  auto module = loaded_modules().find(same);
  if (!module && !address.path.empty()) {
    if (dlopen(address.path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr)
      return base::fail(base::Code::kNotFound, "library of C++ functions: {}", dlerror());
    module = loaded_modules().find(same);
  }
  if (!module)
    return base::fail(
        base::Code::kFailedPrecondition,
        "the function is of the build {} of {}, which this process does not have: it is another program, or was "
        "built again since; run caller and worker from one build, or put the function into a library",
        address.build_id, address.path.empty() ? "a program" : address.path);
  return reinterpret_cast<const void*>(module->base + address.offset);
}

std::string name_of_code(const void* code) {
  Dl_info info{};
  if (dladdr(code, &info) != 0 && info.dli_sname != nullptr && info.dli_saddr == code) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), &std::free);
    return status == 0 ? name.get() : info.dli_sname;
  }
  const auto address = code_address(code);
  return address ? fmt::format("C++ function +{:#x}", address->offset) : std::string("C++ function");
}

}  // namespace daybreak::runtime
