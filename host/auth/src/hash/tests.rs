use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

fn fits(password: &str, value: &str) -> bool {
    verify(&secret(password), &PasswordHash::new(value), ClearPasswords::Ignored)
}

/// Cheap enough for tests; the algorithm is the same.
fn hasher() -> Hasher {
    let options = HashOptions { memory_kib: 64, passes: 1, lanes: 1, scram_iterations: 16 };
    Hasher::new(Random::seeded(1), options)
}

#[test]
fn a_vector_of_each_scheme_fits_its_password_only() {
    for (password, value) in VECTORS {
        assert!(fits(password, value), "{value}");
        assert!(!fits(&format!("{password}x"), value), "{value}");
        assert!(!fits(&password.to_uppercase(), value), "{value}");
    }
}

#[test]
fn broken_and_excessive_values_fit_nothing() {
    for value in [
        "",
        "{}",
        "{SSHA}",
        "{SSHA}%%%",
        "{SSHA}c2hvcnQ=",
        "{UNKNOWN}password",
        "{CRYPT}password",
        "{CRYPT}",
        "{CRYPT}*",
        "{CRYPT}$6$rou\0\0nds=1000$sal4$abc",
        "{CRYPT}$5$sälz$abc",
        "{CRYPT}$6$$",
        "{CRYPT}$1$$$",
        "{CRYPT}$2b$10$",
        "{CRYPT}!",
        "{CRYPT}x",
        "{CRYPT}$6$rounds=999999999$saltstring$x",
        "{CRYPT}$2y$31$......................",
        "{CRYPT}$9$x$y",
        "{ARGON2}$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        "{ARGON2}$argon2id$v=19$m=65536,t=20,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        "{ARGON2}$argon2id$v=19$m=65536,t=2,p=2222222222$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        "{PBKDF2-SHA256}0$AAAA$AAAA",
        "{PBKDF2-SHA256}4000000000$AAAA$AAAA",
        "{PBKDF2_SHA256}AAAA",
        "{PBKDF2-MD5}10$AAAA$AAAA",
        "{SCRAM-SHA-256}4096,AAAA",
        "{SCRAM-SHA-256}0,AAAA,AAAA,AAAA",
        "password",
        "{CLEAR}password",
    ] {
        assert!(!fits("password", value), "{value}");
    }
}

#[test]
fn clear_text_counts_only_where_configured() {
    for value in ["password", "{PLAIN}password", "{clear}password"] {
        let hash = PasswordHash::new(value);
        assert!(verify(&secret("password"), &hash, ClearPasswords::Accepted));
        assert!(!verify(&secret("passworx"), &hash, ClearPasswords::Accepted));
        assert!(!verify(&secret("password"), &hash, ClearPasswords::Ignored));
    }
}

#[test]
fn what_is_written_fits_and_is_salted() {
    let (one, two) = (hasher().hash("Pässword").unwrap(), hasher().hash("x").unwrap());
    assert_eq!(one.len(), 2);
    assert!(one[0].reveal().starts_with("{ARGON2}$argon2id$v=19$m=64,t=1,p=1$"), "{}", one[0].reveal());
    for value in &one {
        assert!(verify_any(&secret("Pässword"), std::slice::from_ref(value), ClearPasswords::Ignored));
        // The same letters decomposed are the same password (RFC 5802 §5.1).
        assert!(verify_any(&secret("Pa\u{308}ssword"), std::slice::from_ref(value), ClearPasswords::Ignored));
        assert!(!verify_any(&secret("Password"), std::slice::from_ref(value), ClearPasswords::Ignored));
    }
    assert!(verify_any(&secret("x"), &two, ClearPasswords::Ignored));
    let hasher = hasher();
    assert_ne!(hasher.hash("x").unwrap(), hasher.hash("x").unwrap());
    assert_eq!(hasher.hash(""), Err(HashError::Password));
    assert_eq!(hasher.hash("a\nb"), Err(HashError::Password));
    assert_eq!(hasher.hash(&"x".repeat(2000)), Err(HashError::Password));
}

#[test]
fn the_default_cost_is_what_is_documented() {
    let hash = Hasher::new(Random::seeded(2), HashOptions::default()).hash("password").unwrap();
    assert!(hash[0].reveal().contains("$m=19456,t=2,p=1$"));
    assert!(hash[1].reveal().starts_with("{SCRAM-SHA-256}15000,"));
    assert!(verify_any(&secret("password"), &hash, ClearPasswords::Ignored));
}

#[test]
fn scram_keys_survive_writing_and_reading() {
    let keys = ScramKeys::derive(&secret("pencil"), b"salt", 4096);
    assert_eq!(ScramKeys::from_value(&PasswordHash::new(keys.to_value())), Some(keys.clone()));
    assert!(!format!("{keys:?}").contains(&keys.to_value()[30..]));
}

#[test]
fn digests_are_cheap_and_the_rest_is_dear() {
    assert_eq!(cost(&PasswordHash::new("{SSHA}x")), Cost::Cheap);
    assert_eq!(cost(&PasswordHash::new("{ARGON2}x")), Cost::Dear);
    assert_eq!(cost(&PasswordHash::new("{CRYPT}x")), Cost::Dear);
}

const VECTORS: &[(&str, &str)] = &[
    ("secret password", "{SHA}0goJVFx6/xSk9ZbduhkpbVj2wQE="),
    ("secret password", "{MD5}pYTvr6j56n/lzxhELzKwew=="),
    ("secret password", "{SHA256}G6Ez7M38TlyjQF39cMETYK8DgQbJ7r3eUEpLFMlLhVc="),
    (
        "secret password",
        "{SHA512}MKeLiI4IOMSaMA8mnYGkAJUrXa8HGONO118uV64Trj2FdtJGawsSaOuCmE4SjkyygPFqjGB+FM23YLMFUOztGw==",
    ),
    ("secret password", "{SHA384}CeTg3zdvVGJ4eq/1+6HMnGA6QOVZgmfOFhKkfQ0NxSoGCaRahHhVtTSc0f+REr7B"),
    ("secret password", "{SHA224}+aeHgZ1E0axsXM6H6xVbwq5eDcoftsQzqUUWkg=="),
    ("secret password", "{PLAIN-MD5}a584efafa8f9ea7fe5cf18442f32b07b"),
    ("secret password", "{SSHA}gQLwfYADdF5NJZlgUZ2h7nmDWypzYWx0c2FsdA=="),
    ("secret password", "{SMD5}u3NcxO1jakL0NnT5Yf+KCnNhbHRzYWx0"),
    ("secret password", "{SSHA256}kfDDAGYhUGkTWYrDJ7IBrpsHuWXE5WzHApSqe3FOcJ1zYWx0c2FsdA=="),
    (
        "secret password",
        "{SSHA512}KrAkh3KDiDZ5tv35whWR7OEz+IvPs9vHjjj5f13UzRzWmc7CUbqwwoI3ih30ezKn5m34CqwGd6rCYXtnMq6ncHNhbHRzYWx0",
    ),
    ("password", "{ssha}yrht1iYXEIkejLVu42JWkadd80RzYWx0c2FsdA=="),
    ("secret password", "{PBKDF2}1000$c2FsdHNhbHQ$4aegGGP.FFJqirJThckO1q3QGz8"),
    ("secret password", "{PBKDF2-SHA1}1000$c2FsdHNhbHQ$4aegGGP.FFJqirJThckO1q3QGz8"),
    ("secret password", "{PBKDF2-SHA256}1000$c2FsdHNhbHQ$UvHEfMjN38G3sQ5004ytthRQbCHvwUs36Iv2B0EhaL0"),
    (
        "secret password",
        "{PBKDF2-SHA512}1000$c2FsdHNhbHQ$eI/vjlZd6nmUUvNZdwcqQmZ6y0.Ldkyp69zHfHSS/OT20Xz1S9.fUaha97xhcTejWU8xpa9PdFr0VQmYZe5a2Q",
    ),
    ("secret password", "{PBKDF2}$1$abcdefgh$500$c2015476264a1034a38255dc38e526eacd34ae3b"),
    (
        "secret password",
        "{PBKDF2_SHA256}AAAIADAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWa3QFmW+oT3Nf8YZJgErzscJRl9LtsJdZAkxTBgtdYipTzCLZYELGRh7CIwMIhoA7SUKRyqRReSltgX7bCHi0QPsjdYNmI6sIMF2Jl5vtCUpn6hRflk57oTK5dB81L6r+FdI4OTQ3VkNOB0+nKLptm12hNzqu3TJDgeCc+tvweUxA/tgOeY8B0ht9Ts670F+9OvToR/bVoCcxgsGCXzdwsqOZ0jXQGYRu08GyR+dUpj6funDRvUj/PdoSiyo8jRVolzkGVQmGYQv/B23ouaSny+w7M93Xd5zt09PEmsOVfOoal9PkR0XrravieLkaeWmXhE0hmxqmwO+u1UrzX8Ttb6",
    ),
    ("secret password", "{CRYPT}$1$abcdefgh$ZE59VolIMROFw2UgfozW8/"),
    ("secret password", "{CRYPT}$5$saltstring$meKE4bAyUAmnZ6B3dSOjM1F1jnPrCg9DNBJIi.lJLXA"),
    (
        "secret password",
        "{CRYPT}$6$saltstring$mXvSStodjL2/qu3vO7vyzeO73AhIXRAVPMu2Wy27XQRg2ygktJmklRj9683dZpzGIXEqvsoQ1bMUH/ORrAaE70",
    ),
    ("secret", "{CRYPT}abNANd1rDfiNc"),
    (
        "secret password",
        "{crypt}$6$rounds=5000$toolongsaltstrin$CBTYk/lzq4/jT/waALL03XRb0wymPnWOVehWG0nchj2U6ikdFd21tLkWGGuM8SYzdVZBKSHaottW1hcDFEI0O0",
    ),
    ("secret password", "{CRYPT}$2y$05$abcdefghijklmnopqrstuuCk8jkoqETEiNj.yXXza3UhEkEmCpaNe"),
    (
        "pencil",
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ),
    (
        "password",
        "{ARGON2}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ),
    (
        "password",
        "{ARGON2I}$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
    ),
];
