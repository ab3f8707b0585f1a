/*
 * Makes the calls that it reads from standard input, through commbox.hpp. tests/cases.rs drives it.
 *
 * In:   api_key, options_json, user_id, user_json; each ended by a NUL.
 * Out:  code, reply, error JSON; each ended by a NUL, empty where there is none.
 */

#include <iostream>
#include <string>

#include "commbox.hpp"

static bool read_field(std::string &field) { return static_cast<bool>(std::getline(std::cin, field, '\0')); }

static void write_outcome(std::int32_t code, const std::string &reply, const std::string &error) {
    std::cout << code << '\0' << reply << '\0' << error << '\0' << std::flush;
}

int main() {
    std::string api_key, options, user_id, user;
    while (read_field(api_key)) {
        if (!read_field(options) || !read_field(user_id) || !read_field(user)) {
            std::cerr << "the input ends inside a call\n";
            return 1;
        }
        try {
            commbox::Client client(api_key, options);
            const std::string reply = client.update_user_json(std::stoll(user_id), user);
            write_outcome(COMMBOX_OK, reply, commbox_last_error_json());
        } catch (const commbox::Error &error) {
            write_outcome(error.code(), "", error.json());
        }
    }
    return 0;
}
