/* Options that are set one by one, and their effect on a client and a batch. argv contains the
 * address of a sandbox. tests/options_cpp.rs runs it. */

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "commbox.hpp"

using namespace std::chrono_literals;

static int failures = 0;

static void check(bool holds, const char *what) {
    if (!holds) {
        std::cout << what << '\n';
        ++failures;
    }
}

template <typename Call>
static std::string refused(Call call) {
    try {
        call();
    } catch (const commbox::Error &error) {
        return error.what();
    }
    return "";
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    const std::string url = argv[1];
    commbox::Client client("sandbox-key", commbox::Options()
                                              .base_url(url)
                                              .proxy("")
                                              .total_timeout(20s)
                                              .attempt_timeout(1500us)
                                              .connect_timeout(10s)
                                              .max_retries(0)
                                              .header("X-Trace", "1")
                                              .set("attempt_timeout_ms", "10000"));
    check(client.update_user_json(1, R"({"FirstName": "John"})").find("200") != std::string::npos,
          "it updates");
    check(client.stats_json().find("\"succeeded\":1") != std::string::npos, "it counts");
    check(client.update_user_json_with(1, "{}", R"({"headers": {"X-Trace": "2"}})").size() > 2,
          "it takes a call's options");
    client.validate_user_json(1, "{}");

    check(refused([&] {
              client.validate_user_json(1, R"({"first_name": "x"})");
          }).find("\"FirstName\"")
              != std::string::npos,
          "a name that is nearly right is refused");
    check(refused([] { commbox::Options().total_timeout(0ms); })
              == "total_timeout_ms must be from 1 ms to 24 hours",
          "a bound");
    check(refused([] { commbox::Options().header("Host", "x"); }).find("headers.Host is reserved")
              == 0,
          "a reserved header");
    check(refused([] { commbox::Options().set("max_retrys", "1"); }).find("max_retries")
              != std::string::npos,
          "a slip");
    check(
        refused([] { commbox::Options().proxy(std::string("a\0b", 3)); }).find("value holds a NUL")
            == 0,
        "a NUL");

    // An lvalue can be modified and used more than once. The result of a chain can be stored.
    const auto kept = commbox::Options().base_url(url).max_retries(0);
    commbox::Client("sandbox-key", kept).update_user_json(1, "{}");
    commbox::Options options;
    options.set("concurrency", "2");
    check(refused([&] { commbox::Client("key", options); })
              == "concurrency is not an option of a client",
          "another's option");
    commbox::Batch batch(client, options);
    std::size_t count = 0;
    batch.run(std::vector<commbox::Update>{{1, 1, "{}"}, {2, 2, "{}"}},
              [&](commbox::Finished &&finished) { count += finished.code == COMMBOX_OK; });
    check(count == 2, "a batch takes them");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
