/* A device's first minute in C against a real broker: boot message, two readings, heartbeat, each published at quality of
 * service 1 and waited for. The MQTT is the least of 3.1.1 over a POSIX socket, to show what the library asks of a
 * transport: bytes and a topic. Firmware uses its vendor's client, with TLS; a PUBACK is not a receipt, so it also keeps
 * each message until f+1 members have receipted it.
 *
 *   publish ed25519|p256 <address> <port>
 *
 * The seed and the boot count are those of the published test vectors. */
#define _POSIX_C_SOURCE 200112L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "attest.h"

#define MQTT_CONNECT 0x10
#define MQTT_CONNACK 0x20
#define MQTT_PUBLISH_QOS1 0x32
#define MQTT_PUBACK 0x40
#define MQTT_DISCONNECT 0xe0
#define KEEP_ALIVE_SECONDS 30

/* Stands for a word of flash. */
static int32_t load_boot(void *ctx, uint32_t *boot) {
    *boot = *(const uint32_t *)ctx;
    return 0;
}

static int32_t store_boot(void *ctx, uint32_t boot) {
    *(uint32_t *)ctx = boot;
    return 0;
}

static int send_all(int fd, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, 0);
        if (sent <= 0) return -1;
        bytes += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static int receive_all(int fd, uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t got = recv(fd, bytes, len, 0);
        if (got <= 0) return -1;
        bytes += got;
        len -= (size_t)got;
    }
    return 0;
}

/* Fixed header with the remaining length (up to 16383, which a message of 1024 bytes never reaches), then the parts. */
static int send_packet(int fd, uint8_t type, const uint8_t *head, size_t head_len, const uint8_t *body, size_t body_len) {
    size_t rest = head_len + body_len;
    uint8_t fixed[3] = {type, (uint8_t)(rest & 127), (uint8_t)(rest >> 7)};
    size_t fixed_len = rest < 128 ? 2 : 3;
    if (rest > 16383) return -1;
    if (fixed_len == 3) fixed[1] |= 128;
    if (send_all(fd, fixed, fixed_len) != 0 || send_all(fd, head, head_len) != 0) return -1;
    return body_len == 0 ? 0 : send_all(fd, body, body_len);
}

/* Waits for a packet of four bytes, the only ones a client that subscribes to nothing gets here. */
static int expect(int fd, uint8_t type, uint8_t answer[2]) {
    uint8_t packet[4];
    if (receive_all(fd, packet, sizeof packet) != 0 || packet[0] != type || packet[1] != 2) return -1;
    memcpy(answer, packet + 2, 2);
    return 0;
}

static int mqtt_connect(const char *address, const char *port, const uint8_t kid[8]) {
    struct addrinfo hints, *found;
    struct timeval patience = {10, 0};
    uint8_t head[12 + 16] = {0, 4, 'M', 'Q', 'T', 'T', 4, 0 /* keep the session */, 0, KEEP_ALIVE_SECONDS, 0, 16};
    uint8_t answer[2];
    int fd;
    for (int i = 0; i < 8; i++) {
        head[12 + 2 * i] = (uint8_t)"0123456789abcdef"[kid[i] >> 4];
        head[13 + 2 * i] = (uint8_t)"0123456789abcdef"[kid[i] & 15];
    }
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(address, port, &hints, &found) != 0) return -1;
    fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 || send_packet(fd, MQTT_CONNECT, head, sizeof head, NULL, 0) != 0 ||
            expect(fd, MQTT_CONNACK, answer) != 0 || answer[1] != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static int mqtt_publish(int fd, uint16_t packet, const char *topic, const uint8_t *bytes, size_t len) {
    uint8_t head[2 + ATTEST_TOPIC_LEN + 2], answer[2];
    size_t topic_len = strlen(topic);
    if (topic_len > ATTEST_TOPIC_LEN) return -1;
    head[0] = 0;
    head[1] = (uint8_t)topic_len;
    memcpy(head + 2, topic, topic_len);
    head[2 + topic_len] = (uint8_t)(packet >> 8);
    head[3 + topic_len] = (uint8_t)packet;
    if (send_packet(fd, MQTT_PUBLISH_QOS1, head, topic_len + 4, bytes, len) != 0) return -1;
    if (expect(fd, MQTT_PUBACK, answer) != 0) return -1;
    return answer[0] == packet >> 8 && answer[1] == (packet & 255) ? 0 : -1;
}

static int fail(const char *what, int32_t status) {
    fprintf(stderr, "%s: %s\n", what, attest_status_text(status));
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    uint8_t seed[32], registry[20], network[8], kid[8], boot_seed[16], firmware[32];
    uint8_t buf[ATTEST_MAX_MESSAGE], topic[ATTEST_TOPIC_LEN];
    const attest_reading readings[2] = {{1, -2, 2153}, {2, 0, 1013}};
    uint32_t flash = UINT32_MAX - 1;
    attest_signer signer = {0};
    attest_device device = {0};
    attest_message message;
    attest_storage storage = {sizeof storage, &flash, load_boot, store_boot};
    int32_t status;
    int fd;
    if (argc != 4) {
        fprintf(stderr, "usage: %s ed25519|p256 <address> <port>\n", argv[0]);
        return EXIT_FAILURE;
    }
    memset(seed, 0x42, sizeof seed);
    memset(registry, 0x11, sizeof registry);
    memset(boot_seed, 1, sizeof boot_seed); /* a real device: random */
    memset(firmware, 2, sizeof firmware);   /* a real device: the digest of its image */
    status = strcmp(argv[1], "p256") == 0 ? attest_soft_p256(seed, &signer) : attest_soft_ed25519(seed, &signer);
    if (status != ATTEST_OK) return fail("signer", status);
    status = attest_network_id(31337, registry, network);
    if (status != ATTEST_OK) return fail("network", status);
    status = attest_device_boot(&device, &signer, &storage, network);
    if (status != ATTEST_OK) return fail("boot", status);
    status = attest_device_kid(&device, kid);
    if (status != ATTEST_OK) return fail("kid", status);

    fd = mqtt_connect(argv[2], argv[3], kid);
    if (fd < 0) {
        fprintf(stderr, "no broker lets us in at %s:%s\n", argv[2], argv[3]);
        return EXIT_FAILURE;
    }
    for (uint16_t step = 0; step < 3; step++) {
        if (step == 0) status = attest_boot_message(&device, NULL, boot_seed, firmware, NULL, buf, sizeof buf, &message);
        if (step == 1) status = attest_telemetry(&device, NULL, readings, 2, buf, sizeof buf, &message);
        if (step == 2) status = attest_heartbeat(&device, NULL, buf, sizeof buf, &message);
        if (status != ATTEST_OK) return fail("message", status);
        status = attest_topic_up(message.message_class, kid, topic, sizeof topic);
        if (status != ATTEST_OK) return fail("topic", status);
        if (mqtt_publish(fd, (uint16_t)(step + 1), (const char *)topic, buf, message.len) != 0) {
            fprintf(stderr, "the broker did not take message %d\n", (int)step);
            return EXIT_FAILURE;
        }
        printf("%s ", (const char *)topic);
        for (size_t i = 0; i < sizeof message.id; i++) printf("%02x", message.id[i]);
        printf("\n");
    }
    send_packet(fd, MQTT_DISCONNECT, NULL, 0, NULL, 0);
    close(fd);
    return EXIT_SUCCESS;
}
