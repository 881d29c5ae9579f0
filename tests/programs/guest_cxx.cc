// SPDX-License-Identifier: Apache-2.0
// C++ hosts: static and thread-local objects that allocate when they end, exceptions through everything, memory that runs out.
//
//   guest_cxx CASE
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Noisy {
    const char *name;
    std::unique_ptr<std::string> text;
    explicit Noisy(const char *n) : name(n), text(new std::string(100, 'x')) {}
    ~Noisy()
    {
        std::vector<std::string> more(20, std::string(200, 'y'));
        text.reset(new std::string(300, 'z'));
        if (name[0] != 't')
            std::printf("%s ends\n", name);
    }
};

Noisy global("global");
thread_local Noisy local("thread's");

int objects()
{
    static Noisy within("function's");
    for (int i = 0; i < 50; i++)
        std::thread([] { local.text->append("more"); }).join();
    local.text->append("main's");
    std::atexit([] { std::puts("atexit"); std::string(1000, 'a'); });
    return static_cast<int>(within.text->size());
}

[[gnu::noinline]] void deep(int n)
{
    std::string kept(static_cast<size_t>(50 + n), 'k');
    if (n == 0)
        throw std::runtime_error(kept);
    deep(n - 1);
    asm volatile("" ::"r"(&kept));
}

int compare(const void *a, const void *b)
{
    std::string kept(64, 'q');
    if (*static_cast<const int *>(a) == 500 || *static_cast<const int *>(b) == 500)
        throw std::logic_error("500");
    return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

void *start(void *)
{
    try {
        deep(12);
    } catch (const std::runtime_error &) {
        return reinterpret_cast<void *>(1);
    }
    return nullptr;
}

int exceptions()
{
    int caught = 0, sorted = 0;
    for (int i = 0; i < 2000; i++) {
        try {
            deep(i % 30);
        } catch (const std::exception &e) {
            caught += std::strlen(e.what()) == 50;
        }
    }
    for (int i = 0; i < 100; i++) {
        std::vector<int> numbers(1000);
        for (int n = 0; n < 1000; n++)
            numbers[static_cast<size_t>(n)] = (n * 7919) % 1000;
        try {
            std::qsort(numbers.data(), numbers.size(), sizeof(int), compare);
        } catch (const std::logic_error &) {
            sorted++;
        }
    }
    long threads = 0;
    for (int i = 0; i < 100; i++) {
        pthread_t t;
        void *result = nullptr;
        pthread_create(&t, nullptr, start, nullptr);
        pthread_join(t, &result);
        threads += reinterpret_cast<long>(result);
    }
    std::printf("caught %d sorted %d threads %ld\n", caught, sorted, threads);
    return 0;
}

int handled;
void on_no_memory()
{
    if (++handled % 3 == 0)
        throw std::bad_alloc();
}

int no_memory()
{
    int bad = 0, nothing = 0;
    std::set_new_handler(on_no_memory);
    volatile size_t huge = ~size_t(0) >> 2;
    for (int i = 0; i < 50; i++) {
        try {
            delete[] new char[huge];
        } catch (const std::bad_alloc &) {
            bad++;
        }
    }
    std::set_new_handler(nullptr);
    for (int i = 0; i < 50; i++)
        nothing += new (std::nothrow) char[huge] == nullptr;
    std::printf("bad_alloc %d handled %d nothrow %d\n", bad, handled, nothing);
    return 0;
}

// Uncaught: std::terminate, SIGABRT.
int uncaught()
{
    deep(5);
    return 0;
}

} // namespace

int main(int count, char **arguments)
{
    std::map<std::string, int (*)()> cases{
        {"objects", objects}, {"exceptions", exceptions}, {"no_memory", no_memory}, {"uncaught", uncaught}};
    auto found = cases.find(count > 1 ? arguments[1] : "");
    return found == cases.end() ? 2 : found->second() & 127;
}
