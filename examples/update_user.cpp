// Builds a user field by field and updates it.  c++ -std=c++17 update_user.cpp -lcommbox
#include <commbox.hpp>

#include <cstdlib>
#include <iostream>

int main() {
    const char *base_url = std::getenv("COMMBOX_BASE_URL");
    const char *api_key = std::getenv("COMMBOX_API_KEY");
    try {
        commbox::Client client(
            api_key != nullptr ? api_key : "",
            base_url != nullptr ? R"({"base_url": ")" + std::string(base_url) + R"("})" : "");
        commbox::User user;
        user.set("FirstName", "John").set("LastName", "Doe").set("Email", "JohnDoe@gmail.com");
        user.set_custom("VIP_Status", "8");
        client.update_user(94382332,
                           user);  // returns the server's reply, which may repeat personal data
        std::cout << "user 94382332 is updated\n";
    } catch (const commbox::Error &error) {
        std::cerr << "commbox " << error.code() << ": " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
