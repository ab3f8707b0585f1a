/*
 * Collects results through commbox.hpp while the n-th allocation fails, for each n.
 * tests/batch_cpp.rs runs it: no_memory URL [any]. With "any", no allocation has to fail, because
 * valgrind replaces operator new. Prints a line for each check that fails, and then exits with 1.
 */

#include <cstdlib>
#include <iostream>
#include <new>
#include <set>
#include <string>

#include "commbox.hpp"

/** How many allocations of this thread succeed before one fails. If negative, all succeed. */
static thread_local long allowed = -1;

void *operator new(std::size_t size) {
    if (allowed == 0) {
        allowed = -1;
        throw std::bad_alloc();
    }
    if (allowed > 0) {
        --allowed;
    }
    if (void *memory = std::malloc(size == 0 ? 1 : size)) {
        return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void *memory) noexcept {
    std::free(memory);
}
void operator delete(void *memory, std::size_t) noexcept {
    std::free(memory);
}

static bool all_hold = true;

static void check(bool holds, const std::string &what) {
    if (!holds) {
        std::cerr << "does not hold: " << what << '\n';
        all_hold = false;
    }
}

/** Collects all results. After each success, the next failure is one allocation later. Returns the
 * number of failures. */
static int collect(commbox::Batch &batch, bool with_time, std::set<std::uint64_t> &tags) {
    int failures = 0;
    // Each result fails at its first allocation, then at its second, and so on, until no allocation
    // is left that can fail.
    for (long at = 0;; ++at) {
        try {
            commbox::Finished finished;
            bool is_one = true;
            allowed = at;
            if (with_time) {
                is_one = batch.next_for(std::chrono::seconds::max(), finished)
                         == commbox::BatchStatus::finished;
            } else if (auto next = batch.next()) {
                finished = std::move(*next);
            } else {
                is_one = false;
            }
            allowed = -1;
            if (!is_one) {
                return failures;
            }
            check(tags.insert(finished.tag).second, "each result comes once");
            check(finished.code == COMMBOX_OK && finished.json.size() > 40,
                  "it is whole: " + finished.json);
            at = -1;
        } catch (const std::bad_alloc &) {
            allowed = -1;
            ++failures;
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        std::cerr << "usage: no_memory URL [any]\n";
        return 2;
    }
    commbox::Client client("sandbox-key",
                           R"({"proxy": "", "base_url": ")" + std::string(argv[1]) + "\"}");
    for (const bool with_time : {false, true}) {
        commbox::Batch batch(client);
        for (std::uint64_t tag = 0; tag < 20; ++tag) {
            batch.submit(tag, static_cast<std::int64_t>(tag + 1), R"({"FirstName":"John"})");
        }
        batch.close();
        std::set<std::uint64_t> tags;
        const int failures = collect(batch, with_time, tags);
        check(tags.size() == 20, "every result comes: " + std::to_string(tags.size()));
        check(argc > 2 || failures >= 40, "allocations fail: " + std::to_string(failures));
    }
    return all_hold ? 0 : 1;
}
