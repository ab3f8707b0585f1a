/*
 * Makes calls in the destructor of a static object, which runs after the main thread's thread-local
 * variables were destroyed. Prints their outcomes. tests/exit.rs runs it.
 */

#include <iostream>
#include <memory>
#include <string>

#include "commbox.hpp"

struct Farewell {
    std::unique_ptr<commbox::Client> client;

    ~Farewell() {
        for (const char *user : {"{\"Remarks\": \"bye\"}", "{\"firstname\": \"\"}"}) {
            try {
                client->update_user_json(7, user);
                std::cout << "updated\n";
            } catch (const commbox::Error &error) {
                std::cout << error.code() << ": " << error.what() << '\n';
            }
        }
    }
};

static Farewell farewell;

int main(int, char **argv) {
    farewell.client = std::make_unique<commbox::Client>("sandbox-key", std::string(argv[1]));
    farewell.client->update_user_json(7, "{\"Remarks\": \"hello\"}");
}
