/* A device on an emulated Cortex-M4: boots, makes every kind of message, and reports through semihosting the heartbeat
 * in hex and how deep the stack went. No C library. Built by size.sh with SIGNER 0 (external), 1 (Ed25519) or 2 (P-256). */
#include "attest.h"

extern uint32_t stack_low[], stack_top[];
_Noreturn void device_main(void);

#define PAINT 0xa5a5a5a5u

static void semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(const char *text) { semihost(4, text); }

_Noreturn static void finish(int good) {
    uint32_t block[2] = {good ? 0x20026 : 0x20023, 0};
    semihost(0x18, (const void *)(uintptr_t)block[0]);
    for (;;) {}
}

static void check(int32_t status) {
    if (status == ATTEST_OK) return;
    print("thumb: ");
    print(attest_status_text(status));
    print("\n");
    finish(0);
}

/* Fills the stack below this frame, so that the deepest word in use can be found afterwards. */
static __attribute__((noinline)) void paint(void) {
    const uint32_t *end = (const uint32_t *)(uintptr_t)((uintptr_t)__builtin_frame_address(0) - 64);
    for (volatile uint32_t *word = stack_low; word < end; word++) *word = PAINT;
}

/* Set in live(): no initialised data, so that start-up has nothing to copy. */
static uint32_t boot_count;
static int32_t load_boot(void *ctx, uint32_t *boot) { (void)ctx; *boot = boot_count; return 0; }
static int32_t store_boot(void *ctx, uint32_t boot) { (void)ctx; boot_count = boot; return 0; }

/* Stands for a secure element: 64 fixed bytes. */
#if SIGNER == 0
static int32_t external(void *ctx, const uint8_t *digest, uint8_t *signature) {
    (void)ctx;
    for (int i = 0; i < 64; i++) signature[i] = digest[i & 31];
    return 0;
}
#endif

static uint8_t seed[32], buf[ATTEST_MAX_MESSAGE];
static attest_device device;
static attest_signer signer;
static attest_message message;

static __attribute__((noinline)) void live(void) {
    static const uint8_t registry[20] = {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                         0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11};
    static attest_reading readings[ATTEST_MAX_READINGS];
    static attest_reception heard[ATTEST_MAX_RECEPTIONS];
    static uint8_t network[8], bytes[ATTEST_BEACON_LEN], draw[32];
    static const attest_storage storage = {sizeof storage, 0, load_boot, store_boot};
    static const uint64_t now = 1700000000;
    uint64_t slot;
    boot_count = UINT32_MAX - 1;
    for (int i = 0; i < 32; i++) seed[i] = 0x42;
#if SIGNER == 0
    signer.struct_size = sizeof signer;
    signer.alg = ATTEST_P256;
    signer.sign_digest = external;
#elif SIGNER == 1
    check(attest_soft_ed25519(seed, &signer));
#else
    check(attest_soft_p256(seed, &signer));
#endif
    check(attest_network_id(31337, registry, network));
    check(attest_device_boot(&device, &signer, &storage, network));
    check(attest_heartbeat(&device, 0, buf, sizeof buf, &message));
    print("heartbeat ");
    for (size_t i = 0; i < message.len; i++) {
        char hex[3] = {"0123456789abcdef"[buf[i] >> 4], "0123456789abcdef"[buf[i] & 15], 0};
        print(hex);
    }
    print("\n");
    check(attest_boot_message(&device, &now, bytes, draw, 0, buf, sizeof buf, &message));
    for (int i = 0; i < ATTEST_MAX_READINGS; i++) readings[i].channel = (uint64_t)i;
    check(attest_telemetry(&device, &now, readings, ATTEST_MAX_READINGS, buf, sizeof buf, &message));
    check(attest_challenge(bytes, sizeof bytes, 9, 1, UINT64_MAX, &slot, draw));
    check(attest_answer(&device, &now, draw, 1, slot, buf, sizeof buf, &message));
    for (int i = 0; i < ATTEST_MAX_RECEPTIONS; i++) heard[i].lease = (uint64_t)i;
    check(attest_reveal(&device, &now, slot, draw, bytes, heard, ATTEST_MAX_RECEPTIONS, buf, sizeof buf, &message));
}

_Noreturn void device_main(void) {
    paint();
    live();
    uint32_t *word = stack_low;
    while (word < stack_top && *word == PAINT) word++;
    if (word == stack_low) print("thumb: the stack went to its end\n");
    uint32_t used = (uint32_t)(stack_top - word) * 4;
    char digits[12], *at = digits + 11;
    *at = 0;
    do *--at = (char)('0' + used % 10); while (used /= 10);
    print("stack ");
    print(at);
    print("\n");
    finish(word != stack_low);
}

__attribute__((naked)) void reset(void) {
    /* Enables the floating point unit, which the target's calling convention may use. */
    __asm__ volatile("ldr r0, =0xe000ed88\n ldr r1, [r0]\n orr r1, r1, #0xf00000\n str r1, [r0]\n dsb\n isb\n b device_main\n");
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {stack_top, reset};
