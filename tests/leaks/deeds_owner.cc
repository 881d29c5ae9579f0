/* SPDX-License-Identifier: Apache-2.0 */
/* What C++ keeps by ownership: in a map that only grows, and in a cycle of shared pointers. */
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

extern "C" {
#include "deeds.h"
}

namespace {

struct deed *at_hand;

/* The usual operator new, whose objects are counted. */
template <class T> struct Counted {
    using value_type = T;

    Counted() = default;
    template <class U> Counted(const Counted<U> &) {}
    T *allocate(std::size_t n)
    {
        return static_cast<T *>(truth_object(at_hand, ::operator new(n * sizeof(T)), n * sizeof(T)));
    }
    void deallocate(T *p, std::size_t n)
    {
        truth_object_gone(at_hand, p, n * sizeof(T));
        ::operator delete(p);
    }
    template <class U> bool operator==(const Counted<U> &) const { return true; }
    template <class U> bool operator!=(const Counted<U> &) const { return false; }
};

using String = std::basic_string<char, std::char_traits<char>, Counted<char>>;
using Map = std::map<String, String, std::less<>, Counted<std::pair<const String, String>>>;

struct Part {
    std::shared_ptr<Part> other;
    char body[200];
};

} // namespace

extern "C" NOINLINE void keep_session(struct deed *d)
{
    static Map sessions;
    static unsigned long n;

    at_hand = d;
    std::string id = "session-of-somebody-" + std::to_string(1000000000 + n++);
    sessions.emplace(String(id.data(), id.size()), String(d->bytes, 's'));
}

extern "C" NOINLINE void tie_parts(struct deed *d)
{
    at_hand = d;
    auto one = std::allocate_shared<Part>(Counted<Part>()), two = std::allocate_shared<Part>(Counted<Part>());
    one->other = two;
    two->other = one;
}
