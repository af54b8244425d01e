//! Holds include/attest.h and the library together: every exported function with its C types, every struct with its
//! fields in order, every constant.

use std::{collections::BTreeMap, fs, path::Path};

use attest_c as lib;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("part of the package")
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The header without comments and preprocessor lines.
fn header() -> String {
    let mut out = String::new();
    let whole = file("include/attest.h");
    let mut rest = whole.as_str();
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").expect("a closed comment").1;
    }
    out.push_str(rest);
    out.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// A Rust type of the interface as C writes it, before the name.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(inner) = rust.strip_prefix("*mut ") {
        return format!("{} *", c_type(inner));
    }
    if let Some(inner) = rust.strip_prefix("*const ") {
        return format!("const {} *", c_type(inner));
    }
    match rust {
        "u8" => "uint8_t",
        "i8" => "int8_t",
        "u16" => "uint16_t",
        "u32" => "uint32_t",
        "i32" => "int32_t",
        "u64" => "uint64_t",
        "i64" => "int64_t",
        "usize" => "size_t",
        "c_char" => "char",
        "c_void" => "void",
        "EvidenceId" => "uint8_t[32]",
        other if other.starts_with("attest_") => other,
        other => panic!("no C type for {other}"),
    }
    .to_owned()
}

/// `type name` or `type *name`, as the header writes it.
fn declared(rust: &str, name: &str) -> String {
    let c = c_type(rust);
    if c.ends_with('*') { format!("{c}{name}") } else { format!("{c} {name}") }
}

/// Every exported function, by name, as its C prototype.
fn exported() -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for source in ["answers", "classes", "messages", "pure", "queue", "soft", "status", "terms"] {
        let text = file(&format!("src/{source}.rs"));
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let (_, rest) = part.split_once("fn ").expect("a function");
            let (name, rest) = rest.split_once('(').expect("parameters");
            let (parameters, rest) = rest.split_once(')').expect("their end");
            let result = rest.split_once("-> ").expect("a result").1.split_once('{').expect("a body").0;
            let parameters = parameters
                .split(',')
                .filter_map(|p| p.split_once(':'))
                .map(|(name, kind)| declared(kind, name.trim()))
                .collect::<Vec<_>>();
            let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
            out.insert(name.to_owned(), declared(result, &format!("{name}({parameters})")));
        }
    }
    out
}

#[test]
fn every_function_is_declared_as_it_is() {
    let prototypes: Vec<String> = header()
        .split(';')
        .map(squeeze)
        .filter(|text| text.contains("attest_") && text.ends_with(')') && !text.contains("(*"))
        .map(|text| text.rsplit(['{', '}']).next().unwrap_or_default().trim().to_owned())
        .collect();
    let exported = exported();
    assert!(exported.len() > 15, "the sources were not read");
    for prototype in exported.values() {
        assert!(prototypes.contains(prototype), "attest.h lacks or differs from: {prototype};");
    }
    assert_eq!(prototypes.len(), exported.len(), "attest.h declares functions that do not exist: {prototypes:#?}");
}

/// The fields of a Rust struct as C writes them; callbacks by their type's name.
fn rust_fields(name: &str) -> Vec<String> {
    let text = file("src/types.rs");
    let (_, rest) = text.split_once(&format!("pub struct {name} {{")).expect("a struct of this name");
    let (body, _) = rest.split_once("\n}").expect("its end");
    let field = |line: &str| {
        let (name, kind) = line.trim().trim_end_matches(',').strip_prefix("pub ")?.split_once(": ")?;
        Some(match kind {
            "SignMessage" => {
                format!("int32_t (*{name})(void *ctx, const uint8_t *message, size_t len, uint8_t *signature)")
            }
            "SignDigest" => format!("int32_t (*{name})(void *ctx, const uint8_t *digest, uint8_t *signature)"),
            "LoadBoot" => format!("int32_t (*{name})(void *ctx, uint32_t *boot)"),
            "StoreBoot" => format!("int32_t (*{name})(void *ctx, uint32_t boot)"),
            "HoldsReceipt" => {
                format!("int32_t (*{name})(void *ctx, uint32_t member, const uint8_t *root, const uint8_t *signature)")
            }
            "HoldsCertificate" => format!(
                "int32_t (*{name})(void *ctx, const uint8_t *group_key, const uint8_t *message, const uint8_t *certificate)"
            ),
            "EvidenceId" => format!("uint8_t {name}[32]"),
            "[u64; DEVICE_WORDS]" => format!("uint64_t {name}[]"),
            array if array.starts_with('[') => {
                let (item, len) = array.trim_matches(['[', ']']).split_once("; ")?;
                format!("{} {name}[{len}]", c_type(item))
            }
            plain => declared(plain, name),
        })
    };
    body.lines().filter_map(field).collect()
}

#[test]
fn every_struct_has_its_fields_in_order() {
    let header = header();
    let structs: Vec<&str> = header.split("typedef struct ").skip(1).collect();
    assert_eq!(structs.len(), file("src/types.rs").matches("#[repr(C)]").count());
    for text in structs {
        let (name, rest) = text.split_once(" {").expect("a name");
        let (body, _) = rest.split_once('}').expect("an end");
        let fields: Vec<String> = body
            .split(';')
            .map(|field| squeeze(field).replace("[ATTEST_DEVICE_WORDS]", "[]"))
            .filter(|field| !field.is_empty())
            .collect();
        assert_eq!(fields, rust_fields(name), "{name}");
    }
}

#[test]
fn every_constant_has_its_value() {
    let text = file("include/attest.h");
    let mut defined: BTreeMap<&str, i64> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("#define ")?.split_whitespace();
            Some((words.next()?, words.next()?.parse().ok()?))
        })
        .collect();
    let mut known: Vec<(String, i64)> =
        lib::CODES.iter().map(|(name, code)| ((*name).to_owned(), i64::from(*code))).collect();
    for class in attest::Class::ALL {
        known.push((format!("ATTEST_CLASS_{}", class.name().to_uppercase()), i64::from(class.as_u8())));
    }
    let longest =
        attest::Class::ALL.map(|class| attest::topic_up(class, &[0; 8]).len()).into_iter().max().unwrap_or(0) + 1;
    for (name, value) in [
        ("MAX_MESSAGE", attest::MAX_MESSAGE),
        ("BEACON_LEN", attest::BEACON_LEN),
        ("TOPIC_LEN", longest),
        ("MAX_READINGS", attest::Readings::MAX),
        ("MAX_SAMPLES", attest::MAX_SAMPLES),
        ("MAX_RECORD", attest::MAX_RECORD),
        ("MAX_FOREIGN", attest::MAX_FOREIGN as usize),
        ("OCMF", attest::RecordFormat::OCMF.0.into()),
        ("OCPP", attest::RecordFormat::OCPP.0.into()),
        ("MAX_RECEPTIONS", attest::Receptions::MAX),
        ("MAX_CHAIN", attest::MAX_CHAIN as usize),
        ("MAX_CHANNELS", attest::ChannelNames::MAX),
        ("MAX_WINDOWS", attest::MeterWindows::MAX),
        ("MAX_SATELLITES", attest::Satellites::MAX),
        ("MAX_TALLIES", attest::Tallies::MAX),
        ("MAX_LEAF_AND_PATH", attest::MAX_LEAF_AND_PATH),
        ("MAX_ENDORSEMENT", attest::MAX_ENDORSEMENT),
        ("TERMS_LEN", attest::TERM_KEYS_LEN),
        ("QUEUE_HEAD", attest::QUEUE_HEAD),
        ("QUEUE_RECORD", attest::QUEUE_RECORD_HEAD),
        ("DEVICE_WORDS", lib::DEVICE_WORDS),
        ("ED25519", attest::Alg::Ed25519.id().into()),
        ("P256", attest::Alg::Esp256.id().into()),
    ] {
        known.push((format!("ATTEST_{name}"), i64::try_from(value).expect("small")));
    }
    for curve in attest::MeterCurve::ALL {
        known.push((format!("ATTEST_CURVE_{curve:?}").to_uppercase(), curve.as_u16().into()));
    }
    for (name, value) in known {
        assert_eq!(defined.remove(name.as_str()), Some(value), "{name}");
    }
    assert!(defined.is_empty(), "attest.h defines what the library does not: {defined:?}");
}

#[test]
fn every_code_has_its_own_text() {
    let text = |code| {
        // SAFETY: never null, static, zero-terminated.
        unsafe { std::ffi::CStr::from_ptr(lib::attest_status_text(code)) }.to_str().expect("ASCII").to_owned()
    };
    let mut texts: Vec<String> = lib::CODES.iter().map(|(_, code)| text(*code)).collect();
    assert!(!texts.contains(&text(-1)));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), lib::CODES.len());
}
