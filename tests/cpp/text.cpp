/*
 * The types that commbox.hpp accepts as a field's value, including NULL. tests/text_cpp.rs runs it.
 * Prints a line for each check that fails, and then exits with 1.
 */

#include <cstddef>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "commbox.hpp"

using commbox::Client;

// NULL is not a valid API key or options text, and constructing a std::string from it is undefined.
static_assert(!std::is_constructible_v<Client, std::nullptr_t>);
static_assert(!std::is_constructible_v<Client, std::nullptr_t, std::string>);
static_assert(!std::is_constructible_v<Client, std::string, std::nullptr_t>);
static_assert(std::is_constructible_v<Client, const char *>
              && std::is_constructible_v<Client, std::string, const char *>);

static bool all_hold = true;

/** Checks that both kinds of field accept the value and produce this JSON. */
template <typename Value>
static void holds(const Value &value, const std::string &json, const std::string &what) {
    try {
        const std::string user =
            commbox::User().set("Phone2", value).set_custom("Custom", value).to_json();
        const std::string expected =
            R"({"data":{"Phone2":)" + json + R"(,"Content":{"Custom":)" + json + "}}}";
        if (user != expected) {
            throw std::runtime_error(user);
        }
    } catch (const std::exception &error) {
        std::cerr << what << ": " << error.what() << '\n';
        all_hold = false;
    }
}

int main() {
    const char *none = nullptr;
    char *none_to_write = nullptr;
    holds(none, "null", "a NULL string");
    holds(none_to_write, "null", "a NULL string that may be written");
    holds(nullptr, "null", "nullptr");
    holds(std::nullopt, "null", "std::nullopt");
    holds(std::optional<std::string>(), "null", "an empty std::optional");

    const char *text = "050";
    holds(text, R"("050")", "a C string");
    holds("050", R"("050")", "a literal");
    holds("", R"("")", "an empty literal");
    holds(std::string(text), R"("050")", "a std::string");
    holds(std::optional<std::string>(text), R"("050")", "a std::optional");
    const std::string_view longer = "0501";
    holds(longer.substr(0, 3), R"("050")", "a std::string_view that no NUL ends");
    holds(std::optional<std::string_view>(text), R"("050")", "an optional view");
    holds(std::optional<std::string_view>(), "null", "an empty optional view");
    return all_hold ? 0 : 1;
}
