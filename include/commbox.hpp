/*
 * commbox for C++17: the calls of commbox.h with std::string, exceptions and destructors. Header-only.
 *
 *     commbox::Client client("my-api-key");
 *     std::string reply = client.update_user_json(94382332, R"({"FirstName": "John"})");
 *
 * Text is UTF-8, in and out. Failures are thrown as commbox::Error. A Client may be used from any number of threads at
 * once; like every C++ object it must not be destroyed or moved from while another thread uses it. What each call
 * means, its limits and its errors stand in commbox.h; this file only carries them. Link with -lcommbox.
 *
 * Licence: MIT.
 */

#ifndef COMMBOX_HPP
#define COMMBOX_HPP

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <ratio>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

#include "commbox.h"

namespace commbox {

/** A failed call: its code, a sentence, and everything known as JSON. Copying it does not throw. */
class Error : public std::exception {
public:
    /** This thread's last failure, as the library keeps it. */
    Error() : Error(commbox_last_error_code(), commbox_last_error(), commbox_last_error_json()) {}

    Error(std::int32_t code, std::string message, std::string json)
        : code_(code), text_(std::make_shared<const Text>(Text{std::move(message), std::move(json)})) {}

    /** One of the COMMBOX_ codes: negative for this side, the HTTP status from 100 up. */
    std::int32_t code() const noexcept { return code_; }

    /** What was wrong and what would be right. Never holds the API key or a value of the user. */
    const char *what() const noexcept override { return text_->message.c_str(); }

    /** Everything known, as the JSON object that commbox_last_error_json() documents. */
    const std::string &json() const noexcept { return text_->json; }

private:
    struct Text {
        std::string message;
        std::string json;
    };

    std::int32_t code_;
    std::shared_ptr<const Text> text_;
};

namespace detail {

inline void check(std::int32_t code) {
    if (code != COMMBOX_OK) {
        throw Error();
    }
}

/** Whole milliseconds for C, rounded up. A negative timeout is 0 (C waits forever), one too long the longest. */
template <typename Rep, typename Period>
std::int64_t c_timeout(std::chrono::duration<Rep, Period> timeout) {
    // Converted as an integer, seconds::max() would overflow.
    const std::chrono::duration<long double, std::milli> exact = timeout;
    constexpr std::int64_t longest = std::numeric_limits<std::int64_t>::max();
    if (!(exact.count() > 0)) {
        return 0;
    }
    const long double whole = std::ceil(exact.count());
    return whole >= static_cast<long double>(longest) ? longest : static_cast<std::int64_t>(whole);
}

constexpr std::int64_t as_long_as_it_takes = -1;

/** Text on its way into C, where it ends at the first NUL: one that holds a NUL is refused, not cut. */
inline const char *c_text(const std::string &text, const char *name) {
    if (const auto at = text.find('\0'); at != std::string::npos) {
        const std::string message =
            std::string(name) + " holds a NUL at byte " + std::to_string(at) + "; text must have none";
        throw Error(COMMBOX_INVALID_ARGUMENT, message,
                    R"({"code":-1,"name":"invalid_argument","message":")" + message +
                        R"(","http_status":null,"description":null,"response_time":null,"retry_after_ms":null,)"
                        R"("attempts":0,"elapsed_ms":0,"delivery":"not_sent","response":null})");
    }
    return text.c_str();
}

struct Free {
    void operator()(commbox_options *options) const noexcept { commbox_options_free(options); }
    void operator()(commbox_batch *batch) const noexcept { commbox_batch_free(batch); }
    void operator()(commbox_client *client) const noexcept { commbox_client_free(client); }
    void operator()(commbox_user *user) const noexcept { commbox_user_free(user); }
    void operator()(char *text) const noexcept { commbox_string_free(text); }
};

/** Owns a handle or a string of the library; one that the library failed to make is thrown as its error. */
template <typename T>
class Owned {
public:
    explicit Owned(T *made) : made_(made) {
        if (made == nullptr) {
            throw Error();
        }
    }

    T *get() const noexcept { return made_.get(); }

private:
    std::unique_ptr<T, Free> made_;
};

}  // namespace detail

/** A user's fields on the way to becoming JSON, escaped as JSON needs. Move-only. */
class User {
    // A template, because as plain overloads views would make a std::string and std::nullopt ambiguous.
    template <typename T>
    using IfView = std::enable_if_t<std::is_same_v<T, std::string_view> ||
                                    std::is_same_v<T, std::optional<std::string_view>>>;

public:
    User() : user_(commbox_user_new()) {}

    /** Sets a field such as "FirstName"; std::nullopt is JSON null. */
    User &set(const std::string &name, const std::optional<std::string> &value) { return set(name, text(value)); }

    /** The same with C's text, literals included; NULL is JSON null. */
    User &set(const std::string &name, const char *value) {
        detail::check(commbox_user_set(user_.get(), detail::c_text(name, "name"), value));
        return *this;
    }

    /** The same with a view, or an optional one. */
    template <typename View, typename = IfView<View>>
    User &set(const std::string &name, View value) {
        return set(name, std::optional<std::string>(value));
    }

    /** Sets a custom field, as "Content" holds it; std::nullopt is JSON null. */
    User &set_custom(const std::string &name, const std::optional<std::string> &value) {
        return set_custom(name, text(value));
    }

    /** The same with C's text, literals included; NULL is JSON null. */
    User &set_custom(const std::string &name, const char *value) {
        detail::check(commbox_user_set_custom(user_.get(), detail::c_text(name, "name"), value));
        return *this;
    }

    /** The same with a view, or an optional one. */
    template <typename View, typename = IfView<View>>
    User &set_custom(const std::string &name, View value) {
        return set_custom(name, std::optional<std::string>(value));
    }

    /** The body, {"data": {…}}. */
    std::string to_json() const { return detail::Owned<char>(commbox_user_to_json(user_.get())).get(); }

private:
    static const char *text(const std::optional<std::string> &value) {
        return value ? detail::c_text(*value, "value") : nullptr;
    }

    detail::Owned<commbox_user> user_;
};

/**
 * Options of a Client or a Batch, each checked when it is set: Options().total_timeout(300ms).max_retries(1). Those without
 * a function of their own are set by their key, as commbox.h documents them. A copy shares what it was copied from.
 */
class Options {
public:
    Options() : options_(std::make_shared<const detail::Owned<commbox_options>>(commbox_options_new())) {}

    /** Sets an option by its key: set("idle_timeout_ms", "1000"). */
    Options &set(const std::string &key, const std::string &value) {
        detail::check(
            commbox_options_set(handle(), detail::c_text(key, "key"), detail::c_text(value, "value")));
        return *this;
    }

    /** Where the API is. */
    Options &base_url(const std::string &url) { return set("base_url", url); }

    /** The timeout of a call, all included. Like all timeouts it is rounded up to whole milliseconds. */
    template <typename Rep, typename Period>
    Options &total_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("total_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** The timeout of one attempt. */
    template <typename Rep, typename Period>
    Options &attempt_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("attempt_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** The timeout of DNS lookup, connect and TLS handshake. */
    template <typename Rep, typename Period>
    Options &connect_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("connect_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** The maximum number of retries after a transient failure. */
    Options &max_retries(unsigned count) { return set("max_retries", std::to_string(count)); }

    /** The proxy's URL; "" for none. */
    Options &proxy(const std::string &url) { return set("proxy", url); }

    /** A further header of each request. */
    Options &header(const std::string &name, const std::string &value) { return set("headers." + name, value); }

private:
    friend class Client;
    friend class Batch;

    commbox_options *handle() const noexcept { return options_->get(); }

    // Shared, so that `auto options = Options().max_retries(1)` compiles.
    std::shared_ptr<const detail::Owned<commbox_options>> options_;
};

/** One API key, one set of options, connections that stay open between calls. Move-only. */
class Client {
public:
    /** `options_json` as commbox_client_new() documents it; "" for the defaults. */
    explicit Client(const std::string &api_key, const std::string &options_json = {})
        : client_(commbox_client_new(detail::c_text(api_key, "api_key"), detail::c_text(options_json, "options_json"))) {}

    /** The same with options that are set one by one. */
    Client(const std::string &api_key, const Options &options)
        : client_(commbox_client_new_with(detail::c_text(api_key, "api_key"), options.handle())) {}

    /** With the key that COMMBOX_API_KEY holds. */
    explicit Client(const Options &options = Options()) : client_(commbox_client_new_with(nullptr, options.handle())) {}

    // Of NULL no std::string can be made, so it does not compile: no key is none, and no options are left out.
    explicit Client(std::nullptr_t, const std::string & = {}) = delete;
    Client(const std::string &, std::nullptr_t) = delete;

    /** Updates one user and returns the server's reply as it came. Waits at most `total_timeout_ms`. */
    std::string update_user_json(std::int64_t user_id, const std::string &user_json) {
        char *reply = nullptr;
        detail::check(
            commbox_update_user_json(client_.get(), user_id, detail::c_text(user_json, "user_json"), &reply));
        return detail::Owned<char>(reply).get();
    }

    /** The same with a body that was built field by field. */
    std::string update_user(std::int64_t user_id, const User &user) {
        return update_user_json(user_id, user.to_json());
    }

    /** Checks an update as update_user_json() does before it sends anything. Nothing is sent. */
    void validate_user_json(std::int64_t user_id, const std::string &user_json) {
        detail::check(commbox_client_validate_user_json(client_.get(), user_id,
                                                        detail::c_text(user_json, "user_json")));
    }

    /** update_user_json() with options of its own, as commbox_update_user_json_with() documents them. */
    std::string update_user_json_with(std::int64_t user_id, const std::string &user_json, const std::string &call_json) {
        char *reply = nullptr;
        detail::check(commbox_update_user_json_with(client_.get(), user_id, detail::c_text(user_json, "user_json"),
                                                    detail::c_text(call_json, "call_json"), &reply));
        return detail::Owned<char>(reply).get();
    }

    /** Where the client stands, as the JSON object that commbox_client_stats_json() documents. */
    std::string stats_json() const { return detail::Owned<char>(commbox_client_stats_json(client_.get())).get(); }

    /** What stands between this machine and the server, as commbox_client_diagnose_json() documents it. */
    std::string diagnose_json() { return detail::Owned<char>(commbox_client_diagnose_json(client_.get())).get(); }

    /** Cancels every call in flight on this client, on any thread: each throws COMMBOX_CANCELLED. Later calls work. */
    void cancel() { detail::check(commbox_client_cancel(client_.get())); }

    /**
     * Has calls ask `poll` at least every 100 ms while they wait, on the calling thread; not 0 cancels the call that
     * asked. It must not throw. `context` stays good until the last call that began with it has returned.
     */
    void set_interrupt(std::int32_t (*poll)(void *context), void *context = nullptr) {
        detail::check(commbox_client_set_interrupt(client_.get(), poll, context));
    }

    /** Puts another API key in the place of the present one, for every attempt from now on. */
    void set_api_key(const std::string &api_key) {
        detail::check(commbox_client_set_api_key(client_.get(), detail::c_text(api_key, "api_key")));
    }

    /** Sets `max_requests_per_second` of the running client; 0 removes the limit. */
    void set_max_requests_per_second(double rate) {
        detail::check(commbox_client_set_max_requests_per_second(client_.get(), rate));
    }

private:
    friend class Batch;

    detail::Owned<commbox_client> client_;
};

/** One update for Batch::run(). */
struct Update {
    /** Any number; it is returned with the result. */
    std::uint64_t tag = 0;
    /** The number that CommBox gave the user: 1 or more. */
    std::int64_t user_id = 0;
    /** As for Client::update_user_json(). */
    std::string user_json;
};

/** An update that was taken back from a Batch. */
struct Finished {
    /** What it was submitted with. */
    std::uint64_t tag = 0;
    /** Its outcome: COMMBOX_OK, or why it failed. */
    std::int32_t code = COMMBOX_OK;
    /** The server's reply as it came; of one that failed everything known, as Error::json() has it. */
    std::string json;
};

/** What came of waiting for an update of a Batch to finish. */
enum class BatchStatus {
    /** One was taken back. */
    finished,
    /** None finished in time. */
    timeout,
    /** The batch is closed, and everything was taken back. */
    done,
};

/**
 * Many updates at once. run() submits a range of them and collects the results, on the calling thread. Instead, any
 * number of threads may submit() and collect with next(), each result once. Move-only.
 *
 * Updates of the same user are sent in the order in which they were submitted. The Client may be destroyed before. The
 * destructor does not block: queued updates are dropped, and those in flight are cancelled.
 */
class Batch {
public:
    /** `options_json` as commbox_batch_new() documents it; "" for the defaults. */
    explicit Batch(Client &client, const std::string &options_json = {})
        : held_(std::make_unique<Held>()),
          batch_(commbox_batch_new(client.client_.get(), detail::c_text(options_json, "options_json"))) {}

    /** The same with options that are set one by one. */
    Batch(Client &client, const Options &options)
        : held_(std::make_unique<Held>()),
          batch_(commbox_batch_new_with(client.client_.get(), options.handle())) {}

    /**
     * Submits every Update of a range, closes the batch, and calls `on_result` with each Finished, once, in the order in
     * which they finish. Everything happens on this thread, with memory that does not depend on the number of updates:
     * the range is read only as fast as updates are sent. Returns when all results were collected.
     *
     * An update that cannot be submitted because of its own text is a result too, and the others continue. If the batch
     * takes no more, as after an API key was rejected, the rest of the range is not read; if the range throws, queued
     * updates are cancelled. In both cases the results are collected first, and the exception is thrown at the end.
     *
     * An exception of `on_result`, or COMMBOX_CANCELLED (Client::cancel(), a callback of Client::set_interrupt()), is
     * thrown at once. The batch is closed then, and next() returns the results that are left.
     */
    template <typename Updates, typename OnResult>
    void run(Updates &&updates, OnResult &&on_result) {
        // However this function ends: with the batch closed, next() returns nothing in the end, and cannot block forever.
        const Closing closing{batch_.get()};
        std::exception_ptr failure;
        auto collecting = false;
        try {
            for (const auto &update : updates) {
                std::optional<Finished> refused;
                while (!refused && !try_submit(update, refused)) {
                    collecting = true;
                    if (auto finished = next()) {
                        on_result(std::move(*finished));
                    }
                    collecting = false;
                }
                Finished finished;
                collecting = true;
                if (refused) {
                    on_result(std::move(*refused));
                }
                while (next_for(std::chrono::milliseconds::zero(), finished) == BatchStatus::finished) {
                    on_result(std::move(finished));
                }
                collecting = false;
            }
        } catch (...) {
            if (collecting) {
                throw;
            }
            failure = std::current_exception();
            commbox_batch_cancel(batch_.get());
        }
        close();
        while (auto finished = next()) {
            on_result(std::move(*finished));
        }
        if (failure) {
            std::rethrow_exception(failure);
        }
    }

    /** Submits an update. Returns false, and submits nothing, if the batch is full for all of `timeout`. */
    template <typename Rep, typename Period>
    bool submit(std::uint64_t tag, std::int64_t user_id, const std::string &user_json,
                std::chrono::duration<Rep, Period> timeout) {
        const std::int32_t code = commbox_batch_submit(
            batch_.get(), tag, user_id, detail::c_text(user_json, "user_json"), detail::c_timeout(timeout));
        if (code != COMMBOX_TIMEOUT) {
            detail::check(code);
        }
        return code == COMMBOX_OK;
    }

    /**
     * The same, and waits while the batch is full. As long as no other thread collects, finished results make room: they
     * are kept in memory for next(), so that a thread may submit everything first and collect afterwards. run() does the
     * same with memory that does not grow with the number of updates.
     */
    void submit(std::uint64_t tag, std::int64_t user_id, const std::string &user_json) {
        auto timeout = std::chrono::milliseconds::zero();
        while (!submit(tag, user_id, user_json, timeout)) {
            timeout = std::chrono::milliseconds(set_aside() ? 0 : 100);
        }
    }

    /** Takes back the next update that finishes. Nothing where the batch is closed and everything was taken back. */
    std::optional<Finished> next() {
        Finished finished;
        const bool is_one = take(detail::as_long_as_it_takes, finished) == BatchStatus::finished;
        return is_one ? std::optional<Finished>(std::move(finished)) : std::nullopt;
    }

    /** The same into `finished`, which is left alone where none finishes within `timeout`. */
    template <typename Rep, typename Period>
    BatchStatus next_for(std::chrono::duration<Rep, Period> timeout, Finished &finished) {
        return take(detail::c_timeout(timeout), finished);
    }

    /** Takes no more updates; what was submitted is still sent. */
    void close() { detail::check(commbox_batch_close(batch_.get())); }

    /** Closes, and cancels what was not sent: it comes back as COMMBOX_CANCELLED. What is under way finishes. */
    void cancel() { detail::check(commbox_batch_cancel(batch_.get())); }

    /** Cancels the updates with this tag, those under way too: they come back as COMMBOX_CANCELLED. */
    void cancel_tag(std::uint64_t tag) { detail::check(commbox_batch_cancel_tag(batch_.get(), tag)); }

    /** Where the batch stands, as the JSON object that commbox_batch_stats_json() documents. */
    std::string stats_json() const { return detail::Owned<char>(commbox_batch_stats_json(batch_.get())).get(); }

private:
    /** A result as the library returned it. */
    struct Raw {
        std::uint64_t tag = 0;
        std::int32_t code = COMMBOX_OK;
        std::unique_ptr<char, detail::Free> json;
    };

    /** Results that were collected and not yet returned. */
    struct Held {
        std::mutex mutex;
        std::list<Raw> results;
        /** The thread that called next(), if only one did. */
        std::thread::id collector;
        bool has_collectors = false;
    };

    struct Closing {
        commbox_batch *batch;
        ~Closing() { commbox_batch_close(batch); }
    };

    /** Returns false if the batch is full. An update that is refused for its own text becomes a result. */
    template <typename Item>
    bool try_submit(const Item &update, std::optional<Finished> &refused) {
        const std::string &json = update.user_json;
        try {
            return submit(update.tag, update.user_id, json, std::chrono::milliseconds::zero());
        } catch (const Error &error) {
            if (error.code() != COMMBOX_INVALID_USER && json.find('\0') == std::string::npos) {
                throw;
            }
            refused = Finished{update.tag, error.code(), error.json()};
            return true;
        }
    }

    /** A result that is held, if there is one. From now on only this thread may set results aside. */
    std::list<Raw> take_held() {
        std::list<Raw> one;
        if (held_) {
            const std::lock_guard<std::mutex> lock(held_->mutex);
            const auto self = std::this_thread::get_id();
            held_->collector = held_->has_collectors && held_->collector != self ? std::thread::id() : self;
            held_->has_collectors = true;
            if (!held_->results.empty()) {
                one.splice(one.begin(), held_->results, held_->results.begin());
            }
        }
        return one;
    }

    /** Holds what has finished, unless another thread collects. Returns whether that made room. */
    bool set_aside() {
        // Under the lock: a thread that begins to collect finds what is held, or is seen here.
        const std::lock_guard<std::mutex> lock(held_->mutex);
        if (held_->has_collectors && held_->collector != std::this_thread::get_id()) {
            return false;
        }
        const auto before = held_->results.size();
        std::list<Raw> one;
        while (collect(0, one) == BatchStatus::finished) {
            held_->results.splice(held_->results.end(), one);
        }
        return held_->results.size() > before;
    }

    /** Takes the next result from the library into `one`. */
    BatchStatus collect(std::int64_t timeout_ms, std::list<Raw> &one) {
        // Allocated before the result is collected: afterwards nothing may fail without a place to keep it.
        one.resize(1);
        char *json = nullptr;
        Raw &raw = one.front();
        const std::int32_t code = commbox_batch_next(batch_.get(), timeout_ms, &raw.tag, &raw.code, &json);
        raw.json.reset(json);
        if (code == COMMBOX_DONE) {
            return BatchStatus::done;
        }
        if (code == COMMBOX_TIMEOUT) {
            return BatchStatus::timeout;
        }
        detail::check(code);
        return BatchStatus::finished;
    }

    BatchStatus take(std::int64_t timeout_ms, Finished &finished) {
        std::list<Raw> one = take_held();
        if (one.empty()) {
            const BatchStatus status = collect(timeout_ms, one);
            if (status != BatchStatus::finished) {
                return status;
            }
        }
        const Raw &raw = one.front();
        try {
            // Not into `finished` itself, which stays as it is if this throws.
            Finished next{raw.tag, raw.code, raw.json ? raw.json.get() : ""};
            finished = std::move(next);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(held_->mutex);
            held_->results.splice(held_->results.begin(), one);
            throw;
        }
        return BatchStatus::finished;
    }

    std::unique_ptr<Held> held_;
    detail::Owned<commbox_batch> batch_;
};

}  // namespace commbox

#endif  // COMMBOX_HPP
