/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates as C++ programs do: maps of strings, std::function, virtual calls, recursion with captures, exceptions that pass frames
 * with destructors and are thrown again, sorts with comparators.
 *
 *   stack_cxx THREADS    0: only this thread, so that two runs do the same
 */
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct shape {
    virtual ~shape() = default;
    virtual std::string name(int more) const = 0;
};

struct leaf : shape {
    std::string text;
    explicit leaf(unsigned n) : text(20 + n % 30, 'l') {}
    std::string name(int) const override { return text + "!"; }
};

struct inner : shape {
    std::vector<std::unique_ptr<shape>> children;
    explicit inner(unsigned seed, int more)
    {
        for (unsigned i = 0; i < 1 + seed % 3; i++)
            if (more && (seed + i) % 4)
                children.push_back(std::make_unique<inner>(seed * 5 + i, more - 1));
            else
                children.push_back(std::make_unique<leaf>(seed));
    }
    std::string name(int more) const override
    {
        std::string all;
        for (const auto &child : children)
            all += child->name(more + 1);
        return all.substr(0, 100);
    }
};

static int folded(const std::function<int(int)> &f, int more)
{
    if (more == 0)
        return f(more);
    std::string captured(17 + unsigned(more), 'c');
    return folded([=](int n) { return f(n + 1) + int(std::string(captured).size()); }, more - 1);
}

static void throwing(unsigned path, int more)
{
    std::map<int, std::string> on_the_way{{more, std::string(33, 'x')}};

    if (more == 0) {
        if (path % 2)
            throw std::runtime_error(std::string(40, 'r'));
        throw std::string(50, 's');
    }
    try {
        throwing(path / 2, more - 1);
    } catch (const std::string &text) {
        on_the_way[more + 1] = text + text;
        if (path % 3 == 0)
            throw;
        throw std::runtime_error(text);
    }
}

static size_t work(unsigned seed)
{
    std::map<std::string, std::vector<int>> table;
    size_t sum = 0;

    for (unsigned i = 0; i < 300; i++) {
        unsigned path = (seed + i) * 2654435761u >> 20;
        inner tree(path, int(path % 4));
        std::string name = tree.name(0);
        auto &row = table[name.substr(0, 1 + path % 40) + std::to_string(path % 50)];
        row.push_back(int(path));
        sum += size_t(folded([](int n) { return n; }, int(path % 12)));
        try {
            throwing(path, int(path % 5));
        } catch (const std::exception &e) {
            sum += std::string(e.what()).size();
        } catch (const std::string &text) {
            sum += text.size();
        }
        if (i % 40 == 39) {
            std::vector<std::string> names;
            for (const auto &row_of : table)
                names.push_back(row_of.first + std::to_string(row_of.second.size()));
            std::stable_sort(names.begin(), names.end(), [](const std::string &a, const std::string &b) {
                return a + "longer than the string has room" < b + "longer than the string has room";
            });
            sum += names.front().size();
        }
    }
    return sum;
}

int main(int count, char **arguments)
{
    unsigned threads = count > 1 ? unsigned(std::atoi(arguments[1])) : 0;

    for (unsigned round = 0; round < (threads ? 6 : 1); round++) {
        std::vector<std::thread> running;
        for (unsigned i = 0; i < threads; i++)
            running.emplace_back([=] { work(i + round); });
        size_t sum = work(round);
        for (auto &thread : running)
            thread.join();
        if (sum == 0)
            return 1;
    }
    return 0;
}
