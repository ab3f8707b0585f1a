/*
 * Many updates through commbox.hpp. tests/batch_cpp.rs runs it after scripting the sandbox: batch
 * URL PART [COUNT]. Prints a line for each check that fails, and then exits with 1.
 */

#include <chrono>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "commbox.hpp"

using commbox::Batch;
using commbox::BatchStatus;
using commbox::Client;
using commbox::Finished;
using commbox::Update;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<Batch>
              && std::is_nothrow_move_assignable_v<Batch>);
static_assert(!std::is_copy_constructible_v<Batch> && !std::is_copy_assignable_v<Batch>);

static const std::string user = R"({"FirstName":"John"})";
static std::string options;
static bool all_hold = true;

static void check(bool holds, const std::string &what) {
    if (!holds) {
        std::cerr << "does not hold: " << what << '\n';
        all_hold = false;
    }
}

/** Checks that the call throws an Error with this code. */
template <typename Call>
static void fails(std::int32_t code, const std::string &what, Call call) {
    try {
        call();
        check(false, what + " fails");
    } catch (const commbox::Error &error) {
        check(error.code() == code,
              what + ": " + std::to_string(error.code()) + ", " + error.what());
    }
}

/** The number of results with each code. */
using Codes = std::map<std::int32_t, std::uint64_t>;

/** The outcomes by tag. Each tag may be reported only once. */
class Outcomes {
public:
    void add(const Finished &finished) {
        check(codes_.emplace(finished.tag, finished.code).second,
              "tag " + std::to_string(finished.tag) + " comes once");
        check(finished.json.rfind('{', 0) == 0, "the outcome is a JSON object: " + finished.json);
    }

    Codes codes() const {
        Codes counted;
        for (const auto &[tag, code] : codes_) {
            ++counted[code];
        }
        return counted;
    }

private:
    std::map<std::uint64_t, std::int32_t> codes_;
};

/** Checks that there is no result to collect, and that the arguments are not changed. */
template <typename Time>
static void takes_nothing(Batch &batch, Time time, BatchStatus status, const std::string &what) {
    Finished finished{7, COMMBOX_NOT_FOUND, "{}"};
    check(batch.next_for(time, finished) == status, what);
    check(finished.tag == 7 && finished.code == COMMBOX_NOT_FOUND && finished.json == "{}",
          what + ": left alone");
}

static void on_one_thread(Client &client, std::uint64_t count) {
    Batch batch(client, R"({"concurrency": 4, "queue_limit": 8})");
    Outcomes outcomes;
    Finished finished;
    for (std::uint64_t tag = 0; tag < count; ++tag) {
        while (!batch.submit(tag, static_cast<std::int64_t>(tag % 50 + 1), user, 1ms)) {
            if (batch.next_for(1s, finished) == BatchStatus::finished) {
                outcomes.add(finished);
            }
        }
    }
    batch.close();
    while (const auto next = batch.next()) {
        outcomes.add(*next);
    }
    check(outcomes.codes() == Codes{{COMMBOX_OK, count}}, "every update comes back, confirmed");
    takes_nothing(batch, 0ms, BatchStatus::done, "a batch that is done stays so");
    const std::string stats = batch.stats_json();
    check(stats.find("\"succeeded\":" + std::to_string(count)) != std::string::npos,
          "the stats count them: " + stats);
}

static void on_two_threads(Client &client, std::uint64_t count) {
    Batch batch(client, R"({"queue_limit": 8})");
    std::thread submitter([&] {
        for (std::uint64_t tag = 0; tag < count; ++tag) {
            batch.submit(tag, static_cast<std::int64_t>(tag + 1), user);
        }
        batch.close();
    });
    Outcomes outcomes;
    while (const auto next = batch.next()) {
        outcomes.add(*next);
    }
    submitter.join();
    check(outcomes.codes() == Codes{{COMMBOX_OK, count}}, "every update comes back, confirmed");
}

/** Many more updates than a batch holds, on one thread. */
static void whole_range(Client &client, std::uint64_t count) {
    std::vector<Update> updates;
    for (std::uint64_t tag = 0; tag < count; ++tag) {
        updates.push_back({tag, static_cast<std::int64_t>(tag + 1), user});
    }
    Batch batch(client);
    Outcomes outcomes;
    batch.run(updates, [&](const Finished &finished) { outcomes.add(finished); });
    check(outcomes.codes() == Codes{{COMMBOX_OK, count}}, "every update comes back, confirmed");
    check(!batch.next(), "the batch is done");
    Batch none(client);
    none.run(std::vector<Update>(), [&](const Finished &) { check(false, "there is no result"); });
}

/** Many more updates than a batch holds. All are submitted before the first result is collected,
 * also by two threads. */
static void everything_first(Client &client, std::uint64_t count) {
    Batch batch(client);
    const auto submit = [&](std::uint64_t from, std::uint64_t to) {
        for (std::uint64_t tag = from; tag < to; ++tag) {
            batch.submit(tag, static_cast<std::int64_t>(tag + 1), user);
        }
    };
    std::thread other(submit, 0, count / 2);
    submit(count / 2, count);
    other.join();
    batch.close();
    Outcomes outcomes;
    while (const auto next = batch.next()) {
        outcomes.add(*next);
    }
    check(outcomes.codes() == Codes{{COMMBOX_OK, count}}, "every update comes back, confirmed");
    takes_nothing(batch, 0ms, BatchStatus::done, "the batch is done");
}

/** The second half of a range. The element in the middle throws. */
struct Broken {
    struct Iterator {
        std::uint64_t tag;
        Update operator*() const {
            if (tag == 3) {
                throw std::runtime_error("row 3");
            }
            return {tag, static_cast<std::int64_t>(tag + 1), user};
        }
        Iterator &operator++() {
            ++tag;
            return *this;
        }
        bool operator!=(const Iterator &other) const { return tag != other.tag; }
    };
    Iterator begin() const { return {0}; }
    Iterator end() const { return {6}; }
};

static void broken_ranges(Client &client) {
    // Updates with invalid values are not sent to the server.
    const std::vector<Update> odd{
        {0, 1, user}, {1, 1, std::string("{}\0", 3)}, {2, 0, user}, {3, 2, user}};
    Outcomes outcomes;
    Batch(client).run(odd, [&](Finished finished) { outcomes.add(finished); });
    check(outcomes.codes() == Codes{{COMMBOX_OK, 2}, {COMMBOX_INVALID_ARGUMENT, 2}},
          "an odd update is a result");

    Outcomes before;
    bool thrown = false;
    try {
        Batch(client).run(Broken{}, [&](const Finished &finished) { before.add(finished); });
    } catch (const std::runtime_error &error) {
        thrown = error.what() == std::string("row 3");
    }
    check(thrown, "the range's own exception is thrown");
    std::uint64_t collected = 0;
    for (const auto &[code, times] : before.codes()) {
        check(code == COMMBOX_OK || code == COMMBOX_CANCELLED, "they were sent or cancelled");
        collected += times;
    }
    check(collected == 3, "after the results of what it gave");

    Batch left(client);
    std::uint64_t seen = 0;
    thrown = false;
    try {
        left.run(odd, [&](const Finished &) {
            ++seen;
            throw std::runtime_error("enough");
        });
    } catch (const std::runtime_error &) {
        thrown = true;
    }
    check(thrown && seen == 1, "an exception of on_result is thrown at once");
    while (left.next()) {
        ++seen;
    }
    check(seen >= 1 && seen <= 4, "and next() ends");

    Client rejected("another-key", options);
    std::vector<Update> many;
    for (std::uint64_t tag = 0; tag < 5000; ++tag) {
        many.push_back({tag, static_cast<std::int64_t>(tag + 1), user});
    }
    Outcomes stopped;
    fails(COMMBOX_CANCELLED, "a batch that a rejected key stopped", [&] {
        Batch(rejected, R"({"concurrency": 1, "queue_limit": 8})")
            .run(many, [&](const Finished &finished) { stopped.add(finished); });
    });
    check(stopped.codes()[COMMBOX_UNAUTHORIZED] >= 1, "its results come first");
}

/** The longest possible timeouts. The result arrives long before. */
static void longest(Client &client) {
    Batch batch(client);
    Finished finished;
    check(batch.submit(1, 1, user, std::chrono::seconds::max()), "there is room");
    check(batch.next_for(std::chrono::seconds::max(), finished) == BatchStatus::finished,
          "seconds::max()");
    check(batch.submit(2, 1, user, std::chrono::hours::max()), "there is room");
    check(batch.next_for(std::chrono::nanoseconds::max(), finished) == BatchStatus::finished,
          "nanoseconds::max()");
    takes_nothing(batch, std::chrono::seconds::min(), BatchStatus::timeout, "seconds::min()");
    takes_nothing(batch, 1us, BatchStatus::timeout, "a microsecond");
    takes_nothing(batch, std::chrono::duration<double>(0.001), BatchStatus::timeout, "a double");
}

/** The server takes half a second for each of the first two updates. */
static void cancel(Client &client) {
    Batch batch(client, R"({"concurrency": 2})");
    for (std::uint64_t tag = 0; tag < 50; ++tag) {
        batch.submit(tag, static_cast<std::int64_t>(tag + 1), user);
    }
    takes_nothing(batch, 200ms, BatchStatus::timeout, "none is finished yet");
    takes_nothing(batch, -1ms, BatchStatus::timeout, "a negative time is none");
    batch.cancel();
    fails(COMMBOX_CANCELLED, "to submit to a cancelled batch", [&] { batch.submit(50, 1, user); });
    Outcomes outcomes;
    Finished finished;
    while (batch.next_for(10s, finished) == BatchStatus::finished) {
        outcomes.add(finished);
    }
    check(outcomes.codes() == Codes{{COMMBOX_OK, 2}, {COMMBOX_CANCELLED, 48}},
          "what is under way finishes");
    check(!batch.next(), "the batch is done");
}

/** The server takes five seconds for the first update. */
static void cancel_tag(Client &client) {
    Batch batch(client, R"({"concurrency": 1, "queue_limit": 1})");
    batch.submit(7, 1, user);
    batch.submit(8, 2, user);
    check(!batch.submit(9, 3, user, 0ms), "there is no room for a third");
    check(!batch.submit(9, 3, user, 200ms), "there is none in time");
    batch.cancel_tag(7);
    auto next = batch.next();
    check(next && next->tag == 7 && next->code == COMMBOX_CANCELLED, "the first one is cancelled");
    next = batch.next();
    check(next && next->tag == 8 && next->code == COMMBOX_OK, "the second one is not");
    batch.submit(9, 0, user);
    next = batch.next();
    check(next && next->tag == 9 && next->code == COMMBOX_INVALID_ARGUMENT,
          "the third one has no user");
}

static void failures(Client client) {
    fails(COMMBOX_INVALID_OPTIONS, "an unknown option", [&] { Batch(client, R"({"speed": 1})"); });
    Batch batch(client);
    fails(COMMBOX_INVALID_ARGUMENT, "a NUL", [&] { batch.submit(1, 1, std::string("{}\0", 3)); });
    fails(COMMBOX_INVALID_ARGUMENT, "a NUL",
          [&] { batch.submit(1, 1, std::string("{}\0", 3), 0ms); });

    Batch other = std::move(batch);
    Finished finished;
    fails(COMMBOX_INVALID_HANDLE, "submit after a move", [&] { batch.submit(1, 1, user, 0ms); });
    fails(COMMBOX_INVALID_HANDLE, "next after a move", [&] { batch.next(); });
    fails(COMMBOX_INVALID_HANDLE, "next_for after a move", [&] { batch.next_for(0ms, finished); });
    fails(COMMBOX_INVALID_HANDLE, "stats_json after a move", [&] { batch.stats_json(); });

    {
        const Client gone = std::move(client);
    }
    other.submit(1, 1, user);
    const auto next = other.next();
    check(next && next->code == COMMBOX_OK, "the batch outlives its client");
    other.close();
    fails(COMMBOX_INVALID_ARGUMENT, "to submit to a closed batch",
          [&] { other.submit(2, 1, user); });
    takes_nothing(other, 0ms, BatchStatus::done, "a closed batch without updates is done");
}

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: batch URL PART [COUNT]\n";
        return 2;
    }
    const std::string part = argv[2];
    const std::uint64_t count = argc > 3 ? std::stoull(argv[3]) : 0;
    try {
        options = R"({"proxy": "", "base_url": ")" + std::string(argv[1]) + "\"}";
        Client client("sandbox-key", options);
        if (part == "updates") {
            on_one_thread(client, count);
            on_two_threads(client, count);
        } else if (part == "run") {
            whole_range(client, count * 10);
        } else if (part == "everything first") {
            everything_first(client, count * 10);
        } else if (part == "broken ranges") {
            broken_ranges(client);
        } else if (part == "longest") {
            longest(client);
        } else if (part == "cancel") {
            cancel(client);
        } else if (part == "cancel_tag") {
            cancel_tag(client);
        } else if (part == "failures") {
            failures(std::move(client));
        } else {
            check(false, part + " is a part");
        }
    } catch (const commbox::Error &error) {
        check(false, std::string("nothing else fails: ") + error.what());
    }
    // The threads of a destroyed batch end within 100 ms. Until then, they count as a leak.
    std::this_thread::sleep_for(300ms);
    return all_hold ? 0 : 1;
}
