/*
 * commbox for C++17: the functions of commbox.h with std::string, exceptions and destructors.
 * Header-only. Link with -lcommbox.
 *
 *     commbox::Client client("my-api-key");
 *     std::string reply = client.update_user_json(94382332, R"({"FirstName": "John"})");
 *
 * Text is UTF-8. A function that fails throws commbox::Error. Any number of threads may use an
 * object at once, but no thread may destroy it or move from it while another thread uses it. The
 * behaviour, the limits and the errors of each function are documented in commbox.h.
 *
 * Everything here exists since version 1.0, unless it says otherwise.
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

/** A failed call: its code, a sentence, and all details as JSON. Copying it does not throw. */
class Error : public std::exception {
public:
    /** Creates an error from this thread's last failure. */
    Error() : Error(commbox_last_error_code(), commbox_last_error(), commbox_last_error_json()) {}

    /** Creates an error from its parts. */
    Error(std::int32_t code, std::string message, std::string json)
        : code_(code),
          text_(std::make_shared<const Text>(Text{std::move(message), std::move(json)})) {}

    /** Returns the code: below 0 the client failed, and 100 or more is the HTTP status. */
    std::int32_t code() const noexcept { return code_; }

    /**
     * Returns a sentence that says what is wrong, and what would be right. It never contains the
     * API key or a value of the user.
     */
    const char *what() const noexcept override { return text_->message.c_str(); }

    /** Returns all details, as the JSON object that commbox_last_error_json() documents. */
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

/**
 * Converts a timeout to whole milliseconds, rounded up. A negative one becomes 0, because the C
 * functions would block without a limit, and one that is too long becomes the longest.
 */
template <typename Rep, typename Period>
std::int64_t c_timeout(std::chrono::duration<Rep, Period> timeout) {
    // As an integer, seconds::max() would overflow in the conversion.
    const std::chrono::duration<long double, std::milli> exact = timeout;
    constexpr std::int64_t longest = std::numeric_limits<std::int64_t>::max();
    if (!(exact.count() > 0)) {
        return 0;
    }
    const long double whole = std::ceil(exact.count());
    return whole >= static_cast<long double>(longest) ? longest : static_cast<std::int64_t>(whole);
}

constexpr std::int64_t without_limit = -1;

/**
 * Returns text for C, where it ends at the first NUL. Text that contains a NUL is rejected, not
 * truncated.
 */
inline const char *c_text(const std::string &text, const char *name) {
    if (const auto at = text.find('\0'); at != std::string::npos) {
        const std::string message = std::string(name) + " holds a NUL at byte " + std::to_string(at)
                                    + "; text must have none";
        throw Error(COMMBOX_INVALID_ARGUMENT, message,
                    R"({"code":-1,"name":"invalid_argument","message":")" + message
                        + R"(","http_status":null,"description":null,"response_time":null,)"
                          R"("retry_after_ms":null,)"
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

/**
 * Owns a handle or a string of the library. The constructor throws if the library returned NULL.
 */
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

/** Builds the JSON of a user, escaped as JSON requires. Move-only. */
class User {
    // A template: with plain overloads, views would create a std::string, and std::nullopt would be
    // ambiguous.
    template <typename T>
    using IfView = std::enable_if_t<std::is_same_v<T, std::string_view>
                                    || std::is_same_v<T, std::optional<std::string_view>>>;

public:
    /** Creates a user without fields. */
    User() : user_(commbox_user_new()) {}

    /**
     * Sets a field, such as "FirstName"; std::nullopt is a JSON null. It replaces a former value.
     */
    User &set(const std::string &name, const std::optional<std::string> &value) {
        return set(name, text(value));
    }

    /** The same with a C string, such as a literal; NULL is a JSON null. */
    User &set(const std::string &name, const char *value) {
        detail::check(commbox_user_set(user_.get(), detail::c_text(name, "name"), value));
        return *this;
    }

    /** The same with a std::string_view, or an optional one. */
    template <typename View, typename = IfView<View>>
    User &set(const std::string &name, View value) {
        return set(name, std::optional<std::string>(value));
    }

    /** Sets a custom field, a member of "Content"; std::nullopt is a JSON null. */
    User &set_custom(const std::string &name, const std::optional<std::string> &value) {
        return set_custom(name, text(value));
    }

    /** The same with a C string, such as a literal; NULL is a JSON null. */
    User &set_custom(const std::string &name, const char *value) {
        detail::check(commbox_user_set_custom(user_.get(), detail::c_text(name, "name"), value));
        return *this;
    }

    /** The same with a std::string_view, or an optional one. */
    template <typename View, typename = IfView<View>>
    User &set_custom(const std::string &name, View value) {
        return set_custom(name, std::optional<std::string>(value));
    }

    /** Returns the body, {"data": {…}}. */
    std::string to_json() const {
        return detail::Owned<char>(commbox_user_to_json(user_.get())).get();
    }

private:
    static const char *text(const std::optional<std::string> &value) {
        return value ? detail::c_text(*value, "value") : nullptr;
    }

    detail::Owned<commbox_user> user_;
};

/**
 * The options of a Client or a Batch: Options().total_timeout(300ms).max_retries(1). Each value is
 * checked when it is set. Options without a function of their own are set by their key, as
 * commbox_client_new() and commbox_batch_new() document them. A copy shares its options with the
 * original.
 */
class Options {
public:
    /** Creates options in which every option has its default. */
    Options()
        : options_(std::make_shared<const detail::Owned<commbox_options>>(commbox_options_new())) {}

    /** Sets an option by its key: set("idle_timeout_ms", "1000"). */
    Options &set(const std::string &key, const std::string &value) {
        detail::check(commbox_options_set(handle(), detail::c_text(key, "key"),
                                          detail::c_text(value, "value")));
        return *this;
    }

    /** Sets the URL of the API. */
    Options &base_url(const std::string &url) { return set("base_url", url); }

    /**
     * Sets the timeout of a call, which covers queueing, all attempts and all backoff. Every
     * timeout is rounded up to whole milliseconds.
     */
    template <typename Rep, typename Period>
    Options &total_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("total_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** Sets the timeout of one attempt. */
    template <typename Rep, typename Period>
    Options &attempt_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("attempt_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** Sets the timeout of DNS lookup, connect and TLS handshake. */
    template <typename Rep, typename Period>
    Options &connect_timeout(std::chrono::duration<Rep, Period> timeout) {
        return set("connect_timeout_ms", std::to_string(detail::c_timeout(timeout)));
    }

    /** Sets the maximum number of retries after a transient failure. */
    Options &max_retries(unsigned count) { return set("max_retries", std::to_string(count)); }

    /** Sets the URL of the proxy; "" for no proxy. */
    Options &proxy(const std::string &url) { return set("proxy", url); }

    /** Sets an additional header for every request. */
    Options &header(const std::string &name, const std::string &value) {
        return set("headers." + name, value);
    }

private:
    friend class Client;
    friend class Batch;

    commbox_options *handle() const noexcept { return options_->get(); }

    // Shared, so that `auto options = Options().max_retries(1)` compiles.
    std::shared_ptr<const detail::Owned<commbox_options>> options_;
};

/** A client with one API key, one set of options and a connection pool. Move-only. */
class Client {
public:
    /**
     * Creates a client. `options_json` is as commbox_client_new() documents it; "" for the
     * defaults.
     */
    explicit Client(const std::string &api_key, const std::string &options_json = {})
        : client_(commbox_client_new(detail::c_text(api_key, "api_key"),
                                     detail::c_text(options_json, "options_json"))) {}

    /** Creates a client with options that were set one by one. */
    Client(const std::string &api_key, const Options &options)
        : client_(commbox_client_new_with(detail::c_text(api_key, "api_key"), options.handle())) {}

    /** Creates a client with the API key in the environment variable COMMBOX_API_KEY. */
    explicit Client(const Options &options = Options())
        : client_(commbox_client_new_with(nullptr, options.handle())) {}

    // Constructing std::string from NULL is undefined, so these overloads are deleted.
    explicit Client(std::nullptr_t, const std::string & = {}) = delete;
    Client(const std::string &, std::nullptr_t) = delete;

    /**
     * Updates one user and returns the server's reply as it was received. Blocks for at most
     * `total_timeout_ms`.
     */
    std::string update_user_json(std::int64_t user_id, const std::string &user_json) {
        char *reply = nullptr;
        detail::check(commbox_update_user_json(client_.get(), user_id,
                                               detail::c_text(user_json, "user_json"), &reply));
        return detail::Owned<char>(reply).get();
    }

    /** Updates one user with a body that was built field by field. */
    std::string update_user(std::int64_t user_id, const User &user) {
        return update_user_json(user_id, user.to_json());
    }

    /** Checks an update like update_user_json() does before it sends anything. It sends nothing. */
    void validate_user_json(std::int64_t user_id, const std::string &user_json) {
        detail::check(commbox_client_validate_user_json(client_.get(), user_id,
                                                        detail::c_text(user_json, "user_json")));
    }

    /**
     * Updates one user like update_user_json(), with options for this call, which
     * commbox_update_user_json_with() documents.
     */
    std::string update_user_json_with(std::int64_t user_id, const std::string &user_json,
                                      const std::string &call_json) {
        char *reply = nullptr;
        detail::check(commbox_update_user_json_with(
            client_.get(), user_id, detail::c_text(user_json, "user_json"),
            detail::c_text(call_json, "call_json"), &reply));
        return detail::Owned<char>(reply).get();
    }

    /** Returns the statistics of the client, as commbox_client_stats_json() documents them. */
    std::string stats_json() const {
        return detail::Owned<char>(commbox_client_stats_json(client_.get())).get();
    }

    /**
     * Checks the path from this machine to the server, and returns the result as
     * commbox_client_diagnose_json() documents it.
     */
    std::string diagnose_json() {
        return detail::Owned<char>(commbox_client_diagnose_json(client_.get())).get();
    }

    /**
     * Cancels every call that is in flight on the client, on any thread: each throws
     * COMMBOX_CANCELLED within 100 ms. Calls that begin later are not affected.
     */
    void cancel() { detail::check(commbox_client_cancel(client_.get())); }

    /**
     * Sets a callback that is invoked at least every 100 ms while a call blocks, on the thread that
     * made the call. If it returns nonzero, that call is cancelled. NULL removes it. It must not
     * throw. `context` must remain valid until the last call that began with it has returned.
     */
    void set_interrupt(std::int32_t (*poll)(void *context), void *context = nullptr) {
        detail::check(commbox_client_set_interrupt(client_.get(), poll, context));
    }

    /** Replaces the API key. Every attempt that starts afterwards uses the new key. */
    void set_api_key(const std::string &api_key) {
        detail::check(
            commbox_client_set_api_key(client_.get(), detail::c_text(api_key, "api_key")));
    }

    /**
     * Sets the option `max_requests_per_second`, for every request from now on; 0 removes the
     * limit.
     */
    void set_max_requests_per_second(double rate) {
        detail::check(commbox_client_set_max_requests_per_second(client_.get(), rate));
    }

private:
    friend class Batch;

    detail::Owned<commbox_client> client_;
};

/** One update for Batch::run(). */
struct Update {
    /** Any number that identifies the update. It is returned with the result. */
    std::uint64_t tag = 0;
    /** The number that CommBox assigned to the user: 1 or more. */
    std::int64_t user_id = 0;
    /** The user, as for Client::update_user_json(). */
    std::string user_json;
};

/** The result of an update of a Batch. */
struct Finished {
    /** The tag that the update was submitted with. */
    std::uint64_t tag = 0;
    /** The code of the update: COMMBOX_OK, or the code of its failure. */
    std::int32_t code = COMMBOX_OK;
    /**
     * The server's reply if the code is COMMBOX_OK, otherwise all details, as Error::json() has
     * them.
     */
    std::string json;
};

/** The outcome of waiting for a result of a Batch. */
enum class BatchStatus {
    /** A result was collected. */
    finished,
    /** No update finished before the timeout. */
    timeout,
    /** The batch is closed, and all results were collected. */
    done,
};

/**
 * Sends many updates through a Client. run() submits a range of updates and collects the results,
 * on the calling thread. Alternatively, any number of threads may submit() updates and collect the
 * results with next(), each exactly once. Move-only.
 *
 * Updates of one user are sent in the order in which they were submitted. The Client may be
 * destroyed before the Batch. The destructor does not block: pending updates are dropped, and those
 * in flight are cancelled.
 */
class Batch {
public:
    /**
     * Creates a batch. `options_json` is as commbox_batch_new() documents it; "" for the defaults.
     */
    explicit Batch(Client &client, const std::string &options_json = {})
        : held_(std::make_unique<Held>()),
          batch_(commbox_batch_new(client.client_.get(),
                                   detail::c_text(options_json, "options_json"))) {}

    /** Creates a batch with options that were set one by one. */
    Batch(Client &client, const Options &options)
        : held_(std::make_unique<Held>()),
          batch_(commbox_batch_new_with(client.client_.get(), options.handle())) {}

    /**
     * Submits every Update of a range, closes the batch, and calls `on_result` with each Finished,
     * once, in the order in which they finish. Returns when all results were collected. Everything
     * happens on this thread. The memory does not depend on the number of updates, because the
     * range is read only as fast as updates are sent.
     *
     * An update that cannot be submitted because of its own text is also a result, and the others
     * continue. If the batch accepts no more updates, for example because the API key was rejected,
     * the rest of the range is not read. If the range throws, queued updates are cancelled. In both
     * cases the results are collected first, and the exception is thrown at the end.
     *
     * An exception of `on_result` and COMMBOX_CANCELLED (from Client::cancel(), or a callback of
     * Client::set_interrupt()) are thrown at once. The batch is then closed, and next() returns the
     * remaining results.
     */
    template <typename Updates, typename OnResult>
    void run(Updates &&updates, OnResult &&on_result) {
        // However this function ends, the batch is closed, so that next() cannot block forever.
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
                while (next_for(std::chrono::milliseconds::zero(), finished)
                       == BatchStatus::finished) {
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

    /**
     * Submits an update. Blocks while the batch is full. Returns false, and submits nothing, if it
     * is still full after `timeout`.
     */
    template <typename Rep, typename Period>
    bool submit(std::uint64_t tag, std::int64_t user_id, const std::string &user_json,
                std::chrono::duration<Rep, Period> timeout) {
        const std::int32_t code =
            commbox_batch_submit(batch_.get(), tag, user_id, detail::c_text(user_json, "user_json"),
                                 detail::c_timeout(timeout));
        if (code != COMMBOX_TIMEOUT) {
            detail::check(code);
        }
        return code == COMMBOX_OK;
    }

    /**
     * Submits an update. Blocks while the batch is full, without a limit. If no other thread
     * collects, it keeps finished results in memory for next() to make room, so a thread may submit
     * all updates first and collect all results afterwards. run() does this with memory that does
     * not depend on the number of updates.
     */
    void submit(std::uint64_t tag, std::int64_t user_id, const std::string &user_json) {
        auto timeout = std::chrono::milliseconds::zero();
        while (!submit(tag, user_id, user_json, timeout)) {
            timeout = std::chrono::milliseconds(set_aside() ? 0 : 100);
        }
    }

    /**
     * Collects the result of the next update that has finished. Blocks until there is one. Returns
     * nothing if the batch is closed and all results were collected.
     */
    std::optional<Finished> next() {
        Finished finished;
        const bool is_one = take(detail::without_limit, finished) == BatchStatus::finished;
        return is_one ? std::optional<Finished>(std::move(finished)) : std::nullopt;
    }

    /**
     * Collects the next result into `finished`. Blocks for at most `timeout`. `finished` is
     * unchanged if there is no result.
     */
    template <typename Rep, typename Period>
    BatchStatus next_for(std::chrono::duration<Rep, Period> timeout, Finished &finished) {
        return take(detail::c_timeout(timeout), finished);
    }

    /** Closes the batch. It accepts no more updates. Updates that were submitted are still sent. */
    void close() { detail::check(commbox_batch_close(batch_.get())); }

    /**
     * Cancels the updates that are not in flight, and closes the batch. Their results have the code
     * COMMBOX_CANCELLED. Updates in flight finish.
     */
    void cancel() { detail::check(commbox_batch_cancel(batch_.get())); }

    /**
     * Cancels the updates that were submitted with a tag, including those in flight, within 100 ms.
     * Their results have the code COMMBOX_CANCELLED, unless they had already finished.
     */
    void cancel_tag(std::uint64_t tag) {
        detail::check(commbox_batch_cancel_tag(batch_.get(), tag));
    }

    /** Returns the progress of the batch, as commbox_batch_stats_json() documents it. */
    std::string stats_json() const {
        return detail::Owned<char>(commbox_batch_stats_json(batch_.get())).get();
    }

private:
    /** A result as the library returned it. */
    struct Raw {
        std::uint64_t tag = 0;
        std::int32_t code = COMMBOX_OK;
        std::unique_ptr<char, detail::Free> json;
    };

    /** Results that were collected, but not returned yet. */
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

    /**
     * Returns false if the batch is full. An update that is rejected for its own text becomes a
     * result.
     */
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

    /**
     * Returns a held result, if there is one. From now on only this thread may set results aside.
     */
    std::list<Raw> take_held() {
        std::list<Raw> one;
        if (held_) {
            const std::lock_guard<std::mutex> lock(held_->mutex);
            const auto self = std::this_thread::get_id();
            held_->collector =
                held_->has_collectors && held_->collector != self ? std::thread::id() : self;
            held_->has_collectors = true;
            if (!held_->results.empty()) {
                one.splice(one.begin(), held_->results, held_->results.begin());
            }
        }
        return one;
    }

    /** Holds what has finished, unless another thread collects. Returns whether that made room. */
    bool set_aside() {
        // Under the lock, so that a thread that begins to collect either finds the held result or
        // is seen here.
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
        // Allocate before collecting: if the allocation failed afterwards, the result would be
        // lost.
        one.resize(1);
        char *json = nullptr;
        Raw &raw = one.front();
        const std::int32_t code =
            commbox_batch_next(batch_.get(), timeout_ms, &raw.tag, &raw.code, &json);
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
            // Not directly into `finished`, which must stay unchanged if this throws.
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
