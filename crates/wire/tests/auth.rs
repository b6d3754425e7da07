//! Authentication: known answers, `mysql_common` as oracle, both sides against each other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::auth::plugins::{ChallengeResponsePlugin, Context, Response};
use mysql_common::crypto;
use mysql_common::packets::AuthPlugin;
use proptest::prelude::*;
use steadfast_wire::Error;
use steadfast_wire::auth::{
    Password, Plugin, RsaKeyPair, caching_sha2_response, clear_password, ed25519_public_key,
    ed25519_response, native_response, native_response_from_stage1, native_stage1_from_response,
    native_stage2, password_from_clear, rsa_encrypt_password, verify_caching_sha2, verify_ed25519,
    verify_native,
};

proptest! {
    #[test]
    fn both_sides_agree(password in prop::collection::vec(1u8..=255, 1..40), wrong in prop::collection::vec(1u8..=255, 0..40), nonce: [u8; 20], long: [u8; 32]) {
        let right = Password::new(&password);
        let other = Password::new(&wrong);
        let native = native_response(&right, &nonce);
        prop_assert_eq!(native.as_slice(), scramble_native(&nonce, &password).unwrap());
        prop_assert!(verify_native(&right, &nonce, &native));
        prop_assert_eq!(verify_native(&other, &nonce, &native), right == other);
        let sha2 = caching_sha2_response(&right, &nonce);
        prop_assert!(verify_caching_sha2(&right, &nonce, &sha2));
        prop_assert_eq!(verify_caching_sha2(&other, &nonce, &sha2), right == other);
        let ed25519 = ed25519_response(&right, &long);
        prop_assert!(verify_ed25519(&right, &long, &ed25519));
        prop_assert_eq!(verify_ed25519(&other, &long, &ed25519), right == other);
    }

    #[test]
    fn a_native_answer_and_the_stored_hash_are_enough_to_log_in_again(password in prop::collection::vec(1u8..=255, 1..40), nonce: [u8; 20], later: [u8; 20]) {
        let password = Password::new(&password);
        let stored = native_stage2(&password);
        let answer = native_response(&password, &nonce);
        let stage1 = native_stage1_from_response(&answer, &nonce, &stored).unwrap();
        prop_assert_eq!(native_response_from_stage1(&stage1, &later).to_vec(), native_response(&password, &later));
        let mut forged = answer;
        forged[3] ^= 1;
        prop_assert!(native_stage1_from_response(&forged, &nonce, &stored).is_none());
    }
}

/// What the reference's plugins ask of their surroundings.
#[derive(Clone, Copy)]
struct Login<'a>(&'a [u8]);

impl Context for Login<'_> {
    fn pass(&self) -> &[u8] {
        self.0
    }
    fn is_ipc_transport(&self) -> bool {
        false
    }
    fn is_tls_transport(&self) -> bool {
        false
    }
    fn scramble(&self) -> &[u8] {
        &[]
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

proptest! {
    #[test]
    fn answers_are_those_of_the_reference(password in prop::collection::vec(1u8..=255, 1..40), nonce: [u8; 20], long: [u8; 32]) {
        let login = Login(&password);
        let ours = Password::new(&password);
        let sha2 = scramble_sha256(&nonce, &password).unwrap();
        prop_assert_eq!(caching_sha2_response(&ours, &nonce), sha2);
        let mut ed25519 = AuthPlugin::Ed25519.init().unwrap();
        prop_assert_eq!(ed25519_public_key(&ours).to_vec(), ed25519.password_hash(login).unwrap());
        let Response::Last { packet: Some(answer) } = ed25519.run(login, &long).unwrap() else {
            panic!("one answer");
        };
        prop_assert_eq!(ed25519_response(&ours, &long).to_vec(), answer);
        let native = AuthPlugin::MysqlNativePassword.init().unwrap();
        prop_assert_eq!(native_stage2(&ours).to_vec(), native.password_hash(login).unwrap());
    }
}

#[test]
fn a_stored_hash_is_the_one_that_servers_show() {
    // SELECT PASSWORD('mariadb') and SELECT ed25519_password('secret') on MariaDB, from its manual.
    assert_eq!(
        hex(&native_stage2(&Password::new("mariadb"))),
        "54958e764ce10e50764c2eecbb71d01f08549980"
    );
    let key = ed25519_public_key(&Password::new("secret"));
    assert_eq!(
        hex(&key),
        "648814444520e4f56043a2ec9215e63be7992d2d270bc6dee873e36164786096"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_empty_password_answers_with_nothing() {
    let empty = Password::default();
    assert!(native_response(&empty, &[7; 20]).is_empty());
    assert!(caching_sha2_response(&empty, &[7; 20]).is_empty());
    assert!(verify_native(&empty, &[7; 20], b""));
    assert!(!verify_native(&Password::new("x"), &[7; 20], b""));
    assert!(!verify_caching_sha2(&Password::new("x"), &[7; 20], b""));
}

#[test]
fn a_password_goes_through_rsa() {
    let pair = RsaKeyPair::generate().unwrap();
    let nonce = [9; 20];
    for text in [
        "",
        "x",
        "a longer password, longer than the nonce of 20 bytes",
    ] {
        let password = Password::new(text);
        let pem = pair.public_key_pem().as_bytes();
        let encrypted = rsa_encrypt_password(&password, &nonce, pem).unwrap();
        assert_eq!(
            pair.rsa_decrypt_password(&encrypted, &nonce).unwrap(),
            password
        );
        assert!(pair.rsa_decrypt_password(&encrypted[1..], &nonce).is_err());
        let mut forged = encrypted.clone();
        forged[0] ^= 1;
        assert!(pair.rsa_decrypt_password(&forged, &nonce).is_err());
        if !text.is_empty() {
            let mut plain = text.as_bytes().to_vec();
            plain.push(0);
            for (byte, key) in plain.iter_mut().zip(nonce.iter().cycle()) {
                *byte ^= key;
            }
            let foreign = crypto::encrypt(&plain, pem).unwrap();
            assert_eq!(
                pair.rsa_decrypt_password(&foreign, &nonce).unwrap(),
                password
            );
        }
    }
    let longest = Password::new([b'x'; 213]);
    let pem = pair.public_key_pem().as_bytes();
    let encrypted = rsa_encrypt_password(&longest, &nonce, pem).unwrap();
    assert_eq!(
        pair.rsa_decrypt_password(&encrypted, &nonce).unwrap(),
        longest
    );
    let error = rsa_encrypt_password(&Password::new([b'x'; 214]), &nonce, pem).unwrap_err();
    assert!(matches!(error, Error::Unrepresentable { .. }), "{error}");
}

#[test]
fn a_public_key_that_is_none_is_the_servers_fault() {
    let password = Password::new("x");
    for pem in [
        "",
        "no key",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA",
    ] {
        let error = rsa_encrypt_password(&password, &[0; 20], pem.as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the server sent a malformed public key packet"),
            "{error}"
        );
    }
    let large = vec![b'A'; 1 << 20];
    assert!(matches!(
        rsa_encrypt_password(&password, &[0; 20], &large),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn a_password_is_not_printed() {
    assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(..)");
}

#[test]
fn the_clear_password_ends_with_nul() {
    let password = Password::new("hunter2");
    assert_eq!(clear_password(&password).as_slice(), b"hunter2\0");
    assert_eq!(password_from_clear(b"hunter2\0"), password);
    assert_eq!(password_from_clear(b"hunter2"), password);
    assert_eq!(password_from_clear(b"\0"), Password::default());
}

#[test]
fn plugins_are_known_by_name() {
    for plugin in [
        Plugin::NativePassword,
        Plugin::CachingSha2,
        Plugin::Sha256,
        Plugin::Ed25519,
        Plugin::ClearPassword,
    ] {
        assert_eq!(Plugin::from_name(plugin.name().unwrap().as_bytes()), plugin);
    }
    assert_eq!(Plugin::from_name(b"dialog"), Plugin::Other);
    assert_eq!(Plugin::Other.name(), None);
}
