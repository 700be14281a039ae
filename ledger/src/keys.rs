//! secp256k1 keys and ECDSA signatures with exactly one accepted encoding each.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use k256::ecdsa::{self, SigningKey};
use pkcs8::der::pem::PemLabel;
use pkcs8::{
    DecodePrivateKey, EncodePrivateKey, EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument, pkcs5,
};
use zeroize::Zeroizing;

use crate::hash::{Hash, HexError, from_hex, to_hex};

/// Why a key is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 33 bytes that start with 02 or 03, or not a point of the curve.
    #[error("not a compressed secp256k1 public key (33 bytes, first 02 or 03, a point of the curve)")]
    Public,
    /// Zero, or not below the order of the curve.
    #[error("not a secp256k1 secret key (32 bytes, between 1 and the order of the curve)")]
    Secret,
    /// The text is not a PKCS#8 private key, or contains another kind of key.
    #[error("not a PKCS#8 PEM file with a secp256k1 private key")]
    Pem,
    /// The PEM is encrypted and no passphrase was given.
    #[error("the key is encrypted: give its passphrase")]
    PassphraseNeeded,
    /// The passphrase is wrong.
    #[error("the passphrase does not open the key: check the passphrase")]
    WrongPassphrase,
}

/// A public key: a compressed secp256k1 point, 33 bytes.
///
/// Decoding checks only the shape. Finding the point costs microseconds, which an unauthenticated
/// peer could make the node spend. [`PublicKey::parse`] finds the point, or fails if there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct PublicKey([u8; 33]);

impl PublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::Public`] unless the first byte is 02 or 03.
    pub fn from_bytes(bytes: [u8; 33]) -> Result<Self, KeyError> {
        matches!(bytes[0], 2 | 3).then_some(PublicKey(bytes)).ok_or(KeyError::Public)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    /// Finds the point of the curve.
    ///
    /// # Errors
    /// [`KeyError::Public`] if the curve has no such point.
    pub fn parse(&self) -> Result<VerifyingKey, KeyError> {
        ecdsa::VerifyingKey::from_sec1_bytes(&self.0).map(VerifyingKey).map_err(|_| KeyError::Public)
    }
}

impl BorshDeserialize for PublicKey {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        PublicKey::from_bytes(<[u8; 33]>::deserialize_reader(reader)?)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for PublicKey {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        let bytes = from_hex(text)?;
        let found = bytes.len();
        let bytes = bytes.try_into().map_err(|_| HexError::Length { expected: 33, found })?;
        PublicKey::from_bytes(bytes).map_err(|_| HexError::PublicKey)
    }
}

/// A parsed public key, which verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey(ecdsa::VerifyingKey);

impl VerifyingKey {
    /// Whether this key signed this hash.
    pub fn verify(&self, hash: &Hash, signature: &Signature) -> bool {
        let Ok(signature) = ecdsa::Signature::from_slice(&signature.0) else {
            return false;
        };
        self.0.verify_prehash(hash.as_bytes(), &signature).is_ok()
    }
}

/// The 64 bytes are not a signature in its only accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical signature (r and s between 1 and the order of the curve, s in the lower half)")]
pub struct SignatureError;

/// An ECDSA signature over secp256k1: r and s, 32 big-endian bytes each, s in the lower half.
///
/// A value of this type has the canonical form, but need not verify.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these bytes.
    ///
    /// # Errors
    /// [`SignatureError`] for r or s out of range, and for s in the upper half. With the other s
    /// the same pair would verify, too, so a receipt or transaction would have two valid forms.
    pub fn from_bytes(bytes: [u8; 64]) -> Result<Self, SignatureError> {
        let parsed = ecdsa::Signature::from_slice(&bytes).map_err(|_| SignatureError)?;
        if parsed.normalize_s() != parsed {
            return Err(SignatureError);
        }
        Ok(Signature(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl BorshDeserialize for Signature {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        Signature::from_bytes(<[u8; 64]>::deserialize_reader(reader)?)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key. It is wiped when dropped, and its debug output does not show it.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Panics
    /// If the operating system provides no randomness.
    pub fn generate() -> Self {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut()).expect("the operating system provides randomness");
            // All but about one in 2^128 draws are valid keys.
            if let Ok(key) = SecretKey::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::Secret`] for zero and for numbers not below the order of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(bytes).map(SecretKey::from_signing_key).map_err(|_| KeyError::Secret)
    }

    fn from_signing_key(signing: SigningKey) -> Self {
        let point = signing.verifying_key().to_sec1_point(true);
        let bytes = point.as_bytes().try_into().expect("a compressed point has 33 bytes");
        SecretKey { signing, public: PublicKey(bytes) }
    }

    /// The bytes, for the transport that derives its identity from the same key.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes().into())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a hash. The nonce follows RFC 6979, so the same hash always gives the same signature.
    pub fn sign(&self, hash: &Hash) -> Signature {
        let signature: ecdsa::Signature =
            self.signing.sign_prehash(hash.as_bytes()).expect("a 32-byte hash can always be signed");
        Signature(signature.to_bytes().into())
    }

    /// PKCS#8 PEM as OpenSSL reads it: encrypted (scrypt, AES-256-CBC) if a passphrase is given,
    /// otherwise plain.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Zeroizing<String> {
        let key = k256::SecretKey::from(&self.signing);
        match passphrase {
            Some(passphrase) => key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
            None => key.to_pkcs8_pem(LineEnding::LF),
        }
        .expect("a valid key always encodes")
    }

    /// Reads PKCS#8 PEM, encrypted or plain.
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::PassphraseNeeded`] and [`KeyError::WrongPassphrase`].
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let key = if SecretKey::is_encrypted_pem(pem) {
            open_pem(pem, passphrase.ok_or(KeyError::PassphraseNeeded)?)?
        } else {
            k256::SecretKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Pem)?
        };
        Ok(SecretKey::from_signing_key(SigningKey::from(&key)))
    }

    /// Whether a PEM text needs a passphrase.
    pub fn is_encrypted_pem(pem: &str) -> bool {
        pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    }
}

/// Decrypts a PEM text.
///
/// With about one in 256 wrong passphrases the decrypted bytes have valid padding, and only parsing
/// them fails. That is reported as a wrong passphrase, too, and not as a damaged file.
fn open_pem(pem: &str, passphrase: &str) -> Result<k256::SecretKey, KeyError> {
    let (label, sealed) = SecretDocument::from_pem(pem).map_err(|_| KeyError::Pem)?;
    EncryptedPrivateKeyInfoRef::validate_pem_label(label).map_err(|_| KeyError::Pem)?;
    let opened = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes())
        .map_err(|_| KeyError::Pem)?
        .decrypt(passphrase)
        .map_err(|error| match error {
            pkcs8::Error::Asn1(_) | pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) => {
                KeyError::WrongPassphrase
            }
            _ => KeyError::Pem,
        })?;
    k256::SecretKey::from_pkcs8_der(opened.as_bytes()).map_err(|_| KeyError::Pem)
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hash::{Domain, tagged_hash};

    /// The order of the curve minus the signature's s: the other s that satisfies the equation.
    fn with_high_s(signature: &Signature) -> [u8; 64] {
        const ORDER: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
            0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
        ];
        let mut bytes = *signature.as_bytes();
        let mut borrow = 0i16;
        for place in (0..32).rev() {
            let mut digit = i16::from(ORDER[place]) - i16::from(bytes[32 + place]) - borrow;
            borrow = i16::from(digit < 0);
            digit += borrow * 256;
            bytes[32 + place] = u8::try_from(digit).unwrap();
        }
        bytes
    }

    #[test]
    fn the_other_s_is_refused() {
        let key = SecretKey::from_bytes(&[9; 32]).unwrap();
        let hash = tagged_hash(Domain::Header, &[b"x"]);
        let signature = key.sign(&hash);
        assert!(key.public().parse().unwrap().verify(&hash, &signature));
        let other = with_high_s(&signature);
        assert_ne!(&other, signature.as_bytes());
        assert_eq!(Signature::from_bytes(other), Err(SignatureError));
        assert!(!key.public().parse().unwrap().verify(&hash, &Signature(other)));
    }

    #[test]
    fn zero_and_out_of_range_signatures_are_refused() {
        for bytes in [[0; 64], [0xff; 64]] {
            assert_eq!(Signature::from_bytes(bytes), Err(SignatureError));
        }
    }

    #[test]
    fn only_compressed_points_are_public_keys() {
        let mut bytes = *SecretKey::from_bytes(&[9; 32]).unwrap().public().as_bytes();
        for tag in [0, 1, 4, 5, 6, 7] {
            bytes[0] = tag;
            assert_eq!(PublicKey::from_bytes(bytes), Err(KeyError::Public), "tag {tag}");
        }
        let off_curve = PublicKey::from_bytes({
            let mut bytes = [0; 33];
            bytes[0] = 2;
            bytes[32] = 5; // x = 5 is not on secp256k1
            bytes
        });
        assert_eq!(off_curve.unwrap().parse(), Err(KeyError::Public));
    }

    #[test]
    fn pem_round_trips_with_and_without_a_passphrase() {
        let key = SecretKey::from_bytes(&[3; 32]).unwrap();
        let plain = key.to_pem(None);
        assert_eq!(SecretKey::from_pem(&plain, None).unwrap().public(), key.public());
        let sealed = key.to_pem(Some("correct horse"));
        assert_eq!(SecretKey::from_pem(&sealed, Some("correct horse")).unwrap().public(), key.public());
        assert_eq!(SecretKey::from_pem(&sealed, None).unwrap_err(), KeyError::PassphraseNeeded);
        assert_eq!(SecretKey::from_pem(&sealed, Some("wrong")).unwrap_err(), KeyError::WrongPassphrase);
        assert_eq!(SecretKey::from_pem("no key", None).unwrap_err(), KeyError::Pem);
    }

    /// Encrypted by OpenSSL 3 (scrypt with N = 2). With `wrong 164` it decrypts to bytes whose
    /// padding is valid.
    #[test]
    fn a_wrong_passphrase_is_distinguished_from_a_broken_file_even_with_valid_padding() {
        let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHjME4GCSqGSIb3DQEFDTBBMCAGCSsGAQQB2kcECzATBAhNN3kWtq8NEQIBAgIB
CAIBATAdBglghkgBZQMEASoEEF3Dx4h+zxbb8J4/Sa9ZSDwEgZCo1vNtHUhuj8ZK
ty0xethOvSxIc3opB6c4Hv4vf80FOdP2+7p3IyVwGmB4+rUwC7uBZcuntPBReTyY
oK4PsVrrNyv4mXn/ZvqJoe1SCRJWnZYEEA4/bPakhatzyZ4R1i/pIvVTwi3RuJh+
/MIMYmeHIIcBnxRbcs18kexrPgiDxBpyXKVdaX/njS87wqMIgQ4=
-----END ENCRYPTED PRIVATE KEY-----
";
        let open = |passphrase| SecretKey::from_pem(sealed, Some(passphrase)).map(|key| key.public());
        let key = SecretKey::from_bytes(&[3; 32]).unwrap();
        assert_eq!(open("correct horse"), Ok(key.public()));
        assert_eq!(open("wrong 0"), Err(KeyError::WrongPassphrase));
        assert_eq!(open("wrong 164"), Err(KeyError::WrongPassphrase));
        let cut = sealed.replace("MIHjME4G", "MIHjME4H");
        assert_eq!(SecretKey::from_pem(&cut, Some("correct horse")).unwrap_err(), KeyError::Pem);
    }

    #[test]
    fn debug_shows_only_the_public_half() {
        let key = SecretKey::from_bytes(&[0xab; 32]).unwrap();
        assert!(!format!("{key:?}").contains("abababab"));
    }
}
