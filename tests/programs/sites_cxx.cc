/* SPDX-License-Identifier: Apache-2.0 */
/* Ten sites of C++: methods, constructors, operators, lambdas, templates, inlined templates. */
#include <cstdlib>

#include "sites.h"

static void *volatile sink;

#define NOINLINE __attribute__((noinline))
#define INLINE __attribute__((always_inline)) inline

namespace shapes {

struct Shape {
    int *line;
    explicit Shape(int *l) : line(l) {}
    virtual ~Shape() {}
    virtual void *make() = 0;
    NOINLINE static void *fixed(int *line) { *line = __LINE__; sink = operator new(100); return sink; }
};

struct Circle final : Shape {
    using Shape::Shape;
    NOINLINE void *make() override { *line = __LINE__; sink = operator new(200); return sink; }
};

struct Square {
    void *own;
    NOINLINE Square(int *line, unsigned) { *line = __LINE__; own = sink = operator new(300); }
    NOINLINE void *operator+(int *line) const { *line = __LINE__; sink = operator new(400); return sink; }
};

} // namespace shapes

template <typename T, int N> struct Maker {
    NOINLINE static void *make(int *line) { *line = __LINE__; sink = operator new(sizeof(T) * N); return sink; }
};

template <typename T> NOINLINE void *one(int *line, T const &like) { *line = __LINE__; sink = operator new(sizeof like * 10); return sink; }

template <typename T> INLINE void *inlined(int *line, T n) { *line = __LINE__; sink = operator new(n); return sink; }
NOINLINE static void *calls_inlined(int *line) { return sink = inlined<unsigned long>(line, 900); }

static void *circle(int *line) { shapes::Circle c(line); shapes::Shape *volatile s = &c; return s->make(); }
static void *plus(int *line)
{
    static int ignored;
    static shapes::Square *fixed = new shapes::Square(&ignored, 1);
    return *fixed + line;
}
static void *lambda(int *line)
{
    auto make = [line](long bytes) NOINLINE { *line = __LINE__; sink = operator new(bytes); return (void *)sink; };
    return make(1000);
}

static void drop(void *object) { operator delete(object); }

int main()
{
    static struct site site[] = {
        {"shapes::Shape::fixed(int*)", nullptr, 100, shapes::Shape::fixed, drop, 0},
        {"shapes::Circle::make()", nullptr, 200, circle, drop, 0},
        {"shapes::Square::operator+(int*) const", nullptr, 400, plus, drop, 0},
        {"Maker<int, 125>::make(int*)", nullptr, 500, Maker<int, 125>::make, drop, 0},
        {"Maker<double, 75>::make(int*)", nullptr, 600, Maker<double, 75>::make, drop, 0},
        {"Maker<Maker<char, 1>, 700>::make(int*)", nullptr, 700, Maker<Maker<char, 1>, 700>::make, drop, 0},
        {"void* one<double>(int*, double const&)", nullptr, 80, [](int *l) { return one(l, 1.0); }, drop, 0},
        {"void* one<char [3]>(int*, char const (&) [3])", nullptr, 30, [](int *l) { return one(l, "ab"); }, drop, 0},
        {"void* inlined<unsigned long>(int*, unsigned long)", "calls_inlined", 900, calls_inlined, drop, 0},
        {"lambda(int*)::{lambda(long)#1}::operator()(long) const", nullptr, 1000, lambda, drop, 0},
    };

    sites_run(site, sizeof site / sizeof site[0]);
    return 0;
}
