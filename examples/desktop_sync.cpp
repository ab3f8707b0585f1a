// Sends the customers of a desktop program to CommBox, shows how far it has come, and can be
// stopped.
//
//     c++ -std=c++17 desktop_sync.cpp -lcommbox -o desktop_sync
//     COMMBOX_API_KEY=my-api-key ./desktop_sync customers.tsv
//
// A row of the file is a user id, a tab, and the user's fields as JSON. SIGTERM stands for the
// button "Stop": what was not sent by then is reported, and can be sent the next time.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <commbox.hpp>

namespace {

using namespace std::chrono_literals;

volatile std::sig_atomic_t stopped = 0;

std::vector<commbox::Update> rows(std::istream &file) {
    std::vector<commbox::Update> rows;
    std::string id, json;
    while (std::getline(file, id, '\t') && std::getline(file, json)) {
        rows.push_back({rows.size() + 1, std::strtoll(id.c_str(), nullptr, 10), json});
    }
    return rows;
}

struct Tally {
    std::size_t updated = 0, failed = 0;

    void operator()(const commbox::Finished &finished) {
        ++(finished.code == COMMBOX_OK ? updated : failed);
        if (finished.code != COMMBOX_OK) {
            std::cerr << "row " << finished.tag << ": " << commbox_last_error() << '\n';
        }
        if ((updated + failed) % 100 == 0) {
            std::cerr << updated + failed << " rows\n";
        }
    }
};

int sync(std::istream &file) {
    // Checked when they are set. The key is that of COMMBOX_API_KEY.
    const auto options = commbox::Options().total_timeout(20s).max_retries(3);
    commbox::Client client(options);
    client.set_interrupt([](void *) -> std::int32_t { return stopped; });
    commbox::Batch batch(client, commbox::Options().set("concurrency", "4"));
    const auto updates = rows(file);
    Tally tally;
    try {
        batch.run(updates, [&](const commbox::Finished &finished) { tally(finished); });
    } catch (const commbox::Error &error) {
        if (error.code() != COMMBOX_CANCELLED) {
            throw;
        }
        client.set_interrupt(nullptr);  // or collecting what is left is cancelled, too
        batch.cancel();
        while (const auto finished = batch.next()) {
            tally(*finished);
        }
    }
    const auto left = updates.size() - tally.updated - tally.failed;
    std::cout << tally.updated << " updated, " << tally.failed << " failed, " << left << " left\n";
    return tally.updated == updates.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv) {
    std::signal(SIGTERM, [](int) { stopped = 1; });
    try {
        std::ifstream file(argc > 1 ? argv[1] : "/dev/stdin");
        return sync(file);
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
