#include "CCurl.h"

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
