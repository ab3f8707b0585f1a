/*
 * Makes the calls that it reads from standard input, through commbox.hpp. Used by tests/cases.rs.
 *
 * In:   api_key, options_json, user_id, user_json, cancel_after_ms (empty: never)
 * Out:  code, reply, error JSON (empty if there is none)
 *
 * Each of these ends with a NUL.
 */

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "commbox.hpp"

static bool read_field(std::string &field) {
    return static_cast<bool>(std::getline(std::cin, field, '\0'));
}

static void write_outcome(std::int32_t code, const std::string &reply, const std::string &error) {
    std::cout << code << '\0' << reply << '\0' << error << '\0' << std::flush;
}

/** Cancels the calls of a client after a delay, if one is given. */
class Canceller {
public:
    Canceller(commbox::Client &client, const std::string &after_ms) {
        if (!after_ms.empty()) {
            thread_ =
                std::thread([&client, after = std::chrono::milliseconds(std::stol(after_ms))] {
                    std::this_thread::sleep_for(after);
                    client.cancel();
                });
        }
    }
    ~Canceller() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    std::thread thread_;
};

int main() {
    std::string api_key, options, user_id, user, cancel_after;
    while (read_field(api_key)) {
        if (!read_field(options) || !read_field(user_id) || !read_field(user)
            || !read_field(cancel_after)) {
            std::cerr << "the input ends inside a call\n";
            return 1;
        }
        try {
            commbox::Client client(api_key, options);
            Canceller canceller(client, cancel_after);
            const std::string reply = client.update_user_json(std::stoll(user_id), user);
            write_outcome(COMMBOX_OK, reply, commbox_last_error_json());
        } catch (const commbox::Error &error) {
            write_outcome(error.code(), "", error.json());
        }
    }
    return 0;
}
