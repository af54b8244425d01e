/* A device's first heartbeat in C: key, boot count, message, topic. Prints the topic and the message in hex, or with
 * --raw only the message, for any MQTT client:
 *
 *   heartbeat ed25519 --raw | mosquitto_pub -q 1 -t "$(heartbeat ed25519 | head -1)" -s
 *
 * The seed and the boot count are those of the published test vectors: a real device keeps its key in a secure element
 * and its boot count in flash. */
#include <stdio.h>
#include <string.h>

#include "attest.h"

/* Stands for a word of flash. */
static int32_t load_boot(void *ctx, uint32_t *boot) {
    *boot = *(const uint32_t *)ctx;
    return 0;
}

static int32_t store_boot(void *ctx, uint32_t boot) {
    *(uint32_t *)ctx = boot;
    return 0;
}

static int fail(const char *what, int32_t status) {
    fprintf(stderr, "%s: %s\n", what, attest_status_text(status));
    return 1;
}

int main(int argc, char **argv) {
    uint8_t seed[32], registry[20], network[8], kid[8], buf[ATTEST_MAX_MESSAGE], topic[ATTEST_TOPIC_LEN];
    uint32_t flash = UINT32_MAX - 1;
    attest_signer signer = {0};
    attest_device device = {0};
    attest_message message;
    int32_t status;
    memset(seed, 0x42, sizeof seed);
    memset(registry, 0x11, sizeof registry);
    attest_storage storage = {sizeof storage, &flash, load_boot, store_boot};

    int p256 = argc > 1 && strcmp(argv[1], "p256") == 0;
    status = p256 ? attest_soft_p256(seed, &signer) : attest_soft_ed25519(seed, &signer);
    if (status != ATTEST_OK) return fail("signer", status);

    /* A device that was not booted must not speak. */
    if (attest_heartbeat(&device, NULL, buf, sizeof buf, &message) != ATTEST_NOT_BOOTED) return 2;

    status = attest_network_id(31337, registry, network);
    if (status != ATTEST_OK) return fail("network", status);
    status = attest_device_boot(&device, &signer, &storage, network);
    if (status != ATTEST_OK) return fail("boot", status);

    /* Too small a buffer is an error, not an overrun, and uses no sequence number. */
    if (attest_heartbeat(&device, NULL, buf, 100, &message) != ATTEST_BUFFER) return 3;
    status = attest_heartbeat(&device, NULL, buf, sizeof buf, &message);
    if (status != ATTEST_OK) return fail("heartbeat", status);
    if (message.seq != 0 || message.message_class != ATTEST_CLASS_HEARTBEAT) return 4;

    status = attest_device_kid(&device, kid);
    if (status != ATTEST_OK) return fail("kid", status);
    status = attest_topic_up(message.message_class, kid, topic, sizeof topic);
    if (status != ATTEST_OK) return fail("topic", status);

    if (argc > 2 && strcmp(argv[2], "--raw") == 0) return fwrite(buf, 1, message.len, stdout) == message.len ? 0 : 5;
    printf("%s\n", (const char *)topic);
    for (size_t i = 0; i < message.len; i++) printf("%02x", buf[i]);
    printf("\n");
    return 0;
}
