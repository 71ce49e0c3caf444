#include "CCurl.h"
#include <string.h>

CURLcode preloop_curl_setopt_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode preloop_curl_setopt_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode preloop_curl_setopt_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode preloop_curl_set_body(CURL *easy, const void *bytes) {
    return curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, bytes);
}

CURLcode preloop_curl_set_headers(CURL *easy, struct curl_slist *headers) {
    return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

CURLcode preloop_curl_set_connect_to(CURL *easy, struct curl_slist *hosts) {
    return curl_easy_setopt(easy, CURLOPT_CONNECT_TO, hosts);
}

CURLcode preloop_curl_set_error_buffer(CURL *easy, char *buffer) {
    return curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, buffer);
}

CURLcode preloop_curl_set_callbacks(CURL *easy, preloop_curl_callbacks callbacks) {
    CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, callbacks.header);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, callbacks.context);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callbacks.body);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, callbacks.context);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, callbacks.progress);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_XFERINFODATA, callbacks.context);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, callbacks.connected);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_PREREQDATA, callbacks.context);
    return code;
}

CURLcode preloop_curl_set_reader(CURL *easy, preloop_curl_data_callback read, void *context) {
    CURLcode code = curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_READFUNCTION, read);
    if (!code) code = curl_easy_setopt(easy, CURLOPT_READDATA, context);
    return code;
}

long preloop_curl_getinfo_long(CURL *easy, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}

CURLMcode preloop_curl_multi_setopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

CURLcode preloop_curl_message_result(const CURLMsg *message) {
    return message->data.result;
}

typedef struct {
    const char *bytes;
    size_t length;
    size_t sent;
} mail_source;

static size_t read_mail(char *buffer, size_t size, size_t count, void *context) {
    mail_source *source = context;
    size_t rest = source->length - source->sent;
    size_t part = size * count < rest ? size * count : rest;
    memcpy(buffer, source->bytes + source->sent, part);
    source->sent += part;
    return part;
}

static size_t discard(char *bytes, size_t size, size_t count, void *context) {
    (void)bytes;
    (void)context;
    return size * count;
}

CURLcode preloop_curl_send_mail(const preloop_mail *mail, char *error, long *status) {
    *status = 0;
    error[0] = 0;
    CURL *easy = curl_easy_init();
    if (!easy) return CURLE_OUT_OF_MEMORY;
    struct curl_slist *recipients = NULL;
    for (size_t i = 0; i < mail->recipient_count; i++) {
        struct curl_slist *longer = curl_slist_append(recipients, mail->recipients[i]);
        if (!longer) {
            curl_slist_free_all(recipients);
            curl_easy_cleanup(easy);
            return CURLE_OUT_OF_MEMORY;
        }
        recipients = longer;
    }
    mail_source source = {mail->message, mail->length, 0};
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_URL, mail->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, mail->timeout_milliseconds);
    curl_easy_setopt(easy, CURLOPT_USE_SSL,
                     (long)(mail->requires_tls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    if (mail->authorities) curl_easy_setopt(easy, CURLOPT_CAINFO, mail->authorities);
    if (mail->user) curl_easy_setopt(easy, CURLOPT_USERNAME, mail->user);
    if (mail->password) curl_easy_setopt(easy, CURLOPT_PASSWORD, mail->password);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, mail->from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_mail);
    curl_easy_setopt(easy, CURLOPT_READDATA, &source);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(recipients);
    return code;
}
