"""Checks tests/vectors/evidence.json without any of our code: cbor2 for the encodings, cryptography for the signatures,
hashlib for the rest. Written from docs/protocol.md. Exits non-zero at the first difference."""

import hashlib
import json
import struct
import sys

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PROFILE = "tag:plumbline.invalid,2026:boot-1"
NAMES = {
    1: "telemetry", 2: "heartbeat", 3: "boot", 4: "answer", 5: "commitment", 6: "witness", 7: "reveal", 8: "channels",
    9: "meter", 10: "fix", 11: "possession", 12: "work", 13: "opening", 14: "bandwidth", 15: "endorsement",
    16: "metered", 17: "hello",
}
ALG = {"ed25519": -19, "p256": -9}
CURVES = {
    1: (ec.SECP256R1(), 32), 2: (ec.SECP384R1(), 48), 8: (ec.SECP256K1(), 32), 256: (ec.BrainpoolP256R1(), 32),
    258: (ec.BrainpoolP384R1(), 48),
}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u64(n):
    return struct.pack(">Q", n)


def same(what, ours, theirs):
    if ours != theirs:
        sys.exit(f"vectors: {what} differs\n  computed {ours}\n  pinned   {theirs}")


def deterministic(value):
    return cbor2.dumps(value, canonical=True)


def public_key(alg, key):
    if alg == "ed25519":
        return Ed25519PublicKey.from_public_bytes(key)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)


def verify(alg, key, message, signature):
    try:
        if alg == "ed25519":
            public_key(alg, key).verify(signature, message)
        else:
            r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
            public_key(alg, key).verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_key(vectors, key):
    alg, seed, public = key["alg"], bytes.fromhex(key["seed"]), bytes.fromhex(key["public_key"])
    if alg == "ed25519":
        derived = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        cose = {1: 1, -1: 6, -2: public}
    else:
        numbers = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1()).public_key().public_numbers()
        derived = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        cose = {1: 2, -1: 1, -2: public[:32], -3: public[32:]}
    same(f"{alg} public key", derived.hex(), key["public_key"])
    thumbprint = sha(deterministic(cose))
    same(f"{alg} thumbprint", thumbprint.hex(), key["thumbprint"])
    same(f"{alg} kid", thumbprint[:8].hex(), key["kid"])
    stated = key["statement"]
    statement = (
        b"plumbline/device-key/v1" + u64(vectors["chain_id"]) + bytes.fromhex(stated["device_registry"])
        + bytes.fromhex(stated["owner"]) + bytes([1 if alg == "ed25519" else 2]) + public
    )
    same(f"{alg} statement", statement.hex(), stated["bytes"])
    same(f"{alg} statement verifies", verify(alg, public, statement, bytes.fromhex(stated["signature"])), True)


def body(number, given):
    """The body of a class with its byte strings as bytes."""
    unhex = bytes.fromhex
    if number == 3:
        place = [given[2][0], given[2][1], unhex(given[2][2])] if given[2] else []
        return [unhex(given[0]), unhex(given[1]), place]
    if number == 5:
        return given[:3] + [unhex(given[3])]
    if number == 6:
        return [given[0], unhex(given[1])]
    if number == 7:
        heard = [[lease, unhex(payload), rssi, snr] for lease, payload, rssi, snr in given[3]]
        return [given[0], unhex(given[1]), unhex(given[2]), heard]
    if number == 11:
        return given[:4] + [unhex(given[4]), unhex(given[5])]
    if number == 12:
        return given[:4] + [unhex(given[4])]
    if number == 13:
        return given[:3] + [unhex(given[3]), given[4]]
    if number == 14:
        return given[:3] + [[[m, b, p, unhex(tags), unhex(losses)] for m, b, p, tags, losses in given[3]]]
    if number == 15:
        return [unhex(given[0])]
    if number == 16:
        return given[:2] + [unhex(given[2]), unhex(given[3])] + given[4:]
    if number == 17:
        return given[:3] + [unhex(given[3])]
    return given


def check_message(network, keys, message):
    name = f'{message["name"]} ({message["alg"]})'
    key, given, number = keys[message["alg"]], message["claims"], message["class"]
    public, kid = bytes.fromhex(key["public_key"]), bytes.fromhex(key["kid"])
    claims = {}
    if given["iat"] is not None:
        claims[6] = given["iat"]
    if given["nonce"] is not None:
        claims[10] = bytes.fromhex(given["nonce"])
    if number == 3:
        claims[265] = PROFILE
    claims[267] = given["boot"]
    claims[-70001] = [given["seq"], bytes.fromhex(given["prev"]), body(number, given["body"])]
    payload = deterministic(claims)
    same(f"{name}: payload", payload.hex(), message["payload"])
    protected = deterministic({1: ALG[message["alg"]], 4: kid})
    same(f"{name}: protected", protected.hex(), message["protected"])
    structure = deterministic(["Signature1", protected, deterministic(["plumbline", 1, number, network]), payload])
    same(f"{name}: sig_structure", structure.hex(), message["sig_structure"])
    same(f"{name}: id", sha(structure).hex(), message["id"])
    same(f"{name}: topic", f"plumbline/v1/up/{NAMES[number]}/{kid.hex()}", message["topic"])
    envelope = bytes.fromhex(message["envelope"])
    signature = envelope[-64:]
    same(f"{name}: envelope", deterministic(cbor2.CBORTag(18, [protected, {}, payload, signature])).hex(), envelope.hex())
    same(f"{name}: verifies", verify(message["alg"], public, structure, signature), True)
    same(f"{name}: another message does not", verify(message["alg"], public, structure + b"\0", signature), False)
    if message["alg"] == "ed25519":
        signed = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"])).sign(structure)
        same(f"{name}: signature", signed.hex(), signature.hex())
    else:
        # The other s of the same signature verifies too, and leaves the id as it is.
        flipped = (P256_ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
        same(f"{name}: the other s", verify("p256", public, structure, signature[:32] + flipped), True)


def check_functions(functions):
    f = functions
    unhex = bytes.fromhex
    network = f["network_id"]
    registry = unhex(network["registry"])
    same("network_id", sha(b"plumbline/network/v1", u64(network["chain_id"]), registry)[:8].hex(), network["out"])
    place = f["location_commitment"]
    packed = struct.pack(">ii", place["lat"], place["lon"]) + unhex(place["salt"])
    same("location", sha(b"plumbline/location/v1", packed).hex(), place["out"])
    seed = sha(unhex(f["seed"]["certificate"]))
    same("seed", seed.hex(), f["seed"]["out"])
    draw = sha(b"plumbline/challenge/v1", unhex(f["draw"]["seed"]), u64(f["draw"]["device"]), u64(f["draw"]["lease"]))
    same("draw", draw.hex(), f["draw"]["out"])
    chain = f["chain"]
    values = [unhex(chain["secret0"])]
    for _ in range(chain["length"]):
        values.append(sha(b"plumbline/chain/v1", values[-1]))
    same("anchor", values[-1].hex(), chain["anchor"])
    secret = values[chain["length"] - (chain["slot"] - chain["first_slot"] + 1)]
    same("chain secret", secret.hex(), chain["secret"])
    radio = sha(b"plumbline/radio/v1", secret, draw)
    same("payload", radio[:16].hex(), f["transmission"]["payload"])
    same("attenuation", 3 * (radio[16] % 3), f["transmission"]["attenuation_db"])
    heard = f["witness_commitment"]
    rows = b"".join(u64(l) + unhex(p) + struct.pack(">ii", r, s) for l, p, r, s in heard["receptions"])
    count = struct.pack(">H", len(heard["receptions"]))
    same("witness", sha(b"plumbline/witness/v1", count, rows, unhex(heard["salt"])).hex(), heard["out"])
    check_tally(f["tally"])
    for key in f["meter_keys"]:
        curve, point = key["curve"], unhex(key["point"])
        name, size = CURVES[curve]
        numbers = ec.EllipticCurvePublicKey.from_encoded_point(name, b"\x04" + point).public_numbers()
        x, y = (n.to_bytes(size, "big") for n in (numbers.x, numbers.y))
        same(f"meter key {curve}", sha(deterministic({1: 2, -1: curve, -2: x, -3: y})).hex(), key["out"])


def check_tally(tally):
    """The packets whose bit is not set, as many as arrived, and the digests."""
    bitmap = bytes.fromhex(tally["bitmap"])
    lost = {n for n in range(8 * len(bitmap)) if bitmap[n // 8] >> n % 8 & 1}
    arrived = [n for n in range(len(tally["tags"])) if n not in lost]
    same("packets", len(arrived), tally["packets"])
    tags = b"".join(bytes.fromhex(tally["tags"][n]) for n in arrived)
    same("tally's tags", sha(tags)[:16].hex(), tally["out_tags"])
    same("tally's losses", sha(bitmap)[:16].hex(), tally["out_losses"])


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    keys = {key["alg"]: key for key in vectors["keys"]}
    same("algorithms", sorted(keys), sorted(ALG))
    same("classes", {message["class"] for message in vectors["messages"]}, set(NAMES))
    check_functions(vectors["functions"])
    registry = bytes.fromhex(vectors["registry"])
    network = sha(b"plumbline/network/v1", u64(vectors["chain_id"]), registry)[:8]
    same("network", network.hex(), vectors["network"])
    for key in vectors["keys"]:
        check_key(vectors, key)
    for message in vectors["messages"]:
        check_message(network, keys, message)
    print(f'vectors: {len(keys)} keys, {len(vectors["functions"])} functions, {len(vectors["messages"])} messages agree')


if __name__ == "__main__":
    main(sys.argv[1])
