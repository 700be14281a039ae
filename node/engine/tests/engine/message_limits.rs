//! The message limit of the network holds every NEW-VIEW that a replica accepts, also if faulty
//! members make it as long as they can.

use quorate_engine::{MemberMessage, WireLimits};
use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, BlockHash, BlockLimits, CertificateError, ChainId, Commit, CommitCertificate, Committee, Epoch,
    Header, Height, ReplicaId, SecretKey, Signable, Signature, SignatureSet, Signed, Signers, Timestamp,
    TransactionLimits, View, decode, encode, signing_hash,
};
use quorate_pbft::{
    EpochContext, EpochRoot, Evidence, HiddenCertificate, MAX_STATUS_SLOTS, MAX_WINDOW, Message, NewView,
    NewViewMessage, PrePrepare, PreparedCertificate, PreparedError, Rejected, ViewChange, ViewChangeMessage,
    ViewChangePayload,
};

const CHAIN: ChainId = ChainId::from_bytes([0xc4; 32]);
/// The height of the committed anchor: any height but the first.
const BASE: u64 = 1000;

/// Messages that faulty members make as long as they can. No member signed them: every signature is
/// for something else.
struct Colluders {
    committee: Committee,
    signature: Signature,
    /// The committed anchor and the blocks on it: one more than any list can contain.
    headers: Vec<Header>,
    /// The view that they begin; its primary is member 0.
    view: View,
}

impl Colluders {
    fn of(members: usize) -> Self {
        let committee = TestNetwork::seeded(members, 1).genesis().committee().clone();
        let mut headers = vec![Colluders::header(&committee, BASE, BlockHash::from_bytes([0; 32]))];
        for height in BASE + 1..=BASE + u64::from(MAX_STATUS_SLOTS) + 1 {
            headers.push(Colluders::header(&committee, height, headers.last().unwrap().hash()));
        }
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let signature = key.sign(&signing_hash(&CHAIN, &PrePrepare(Colluders::ballot(&headers[0], View(0)))));
        Colluders { view: View(members as u64), committee, signature, headers }
    }

    fn context(&self, window: u64) -> EpochContext {
        let committee = self.committee.clone();
        let root = EpochRoot { height: Height(0), block: BlockHash::from_bytes([0; 32]) };
        EpochContext { chain: CHAIN, committee, root, window, memo: None }
    }

    fn signed<S: Signable>(&self, signer: u16, body: S) -> Signed<S> {
        Signed { body, signer: ReplicaId(signer), signature: self.signature }
    }

    fn votes(&self, signers: std::ops::Range<usize>) -> SignatureSet {
        let signatures = vec![self.signature; signers.len()];
        let signers = signers.map(|signer| ReplicaId(u16::try_from(signer).unwrap()));
        SignatureSet::claimed(Signers::of(signers), signatures)
    }

    fn header(committee: &Committee, height: u64, parent: BlockHash) -> Header {
        Header {
            height: Height(height),
            parent,
            ..Header::genesis(CHAIN, committee.hash(), Timestamp(height))
        }
    }

    fn ballot(header: &Header, view: View) -> Ballot {
        Ballot { epoch: Epoch(0), view, height: header.height, block: header.hash() }
    }

    /// A certificate of view 0, whose primary is member 0, with PREPAREs of the members after it.
    fn prepared(&self, header: &Header) -> PreparedCertificate {
        let prepares = self.votes(1..self.committee.quorum());
        decode(&encode(&(header, View(0), self.signature, prepares))).unwrap()
    }

    /// A view-change payload: the committed anchor, and this many blocks prepared on it.
    fn payload(&self, count: usize) -> ViewChangePayload {
        let anchor = self.anchor(0..self.committee.quorum());
        let prepared = self.headers[1..=count].iter().map(|header| self.prepared(header)).collect();
        ViewChangePayload { anchor: Some(anchor), prepared }
    }

    fn anchor(&self, signers: std::ops::Range<usize>) -> CommitCertificate {
        CommitCertificate::claimed(Colluders::ballot(&self.headers[0], View(0)), self.votes(signers))
    }

    fn view_change(&self, signer: u16, payload: &ViewChangePayload) -> ViewChangeMessage {
        let body = ViewChange { epoch: Epoch(0), view: self.view, content: payload.hash() };
        ViewChangeMessage { vote: self.signed(signer, body), payload: payload.clone() }
    }

    /// A NEW-VIEW in which each VIEW-CHANGE has this many prepared certificates.
    fn new_view(&self, count: usize) -> Message {
        let payload = self.payload(count);
        let quorum = u16::try_from(self.committee.quorum()).unwrap();
        let first = self.view_change(0, &payload);
        let of = |signer| ViewChangeMessage { vote: self.signed(signer, first.vote.body), ..first.clone() };
        let view_changes: Vec<_> = (0..quorum).map(of).collect();
        let again = |header| self.signed(0, PrePrepare(Colluders::ballot(header, self.view)));
        let pre_prepares: Vec<_> = self.headers[1..=count].iter().map(again).collect();
        let content = NewViewMessage::content(&view_changes, &pre_prepares);
        let vote = self.signed(0, NewView { epoch: Epoch(0), view: self.view, content });
        Message::NewView(NewViewMessage { vote, view_changes, pre_prepares })
    }

    /// Whether only the signatures of a message are wrong: a replica accepts it if a faulty member
    /// signs it.
    fn believed_if_signed(&self, message: Message, window: u64) -> bool {
        let refused = message.check(ReplicaId(0), &self.context(window)).unwrap_err();
        match refused {
            Rejected::Signature(_) => true,
            Rejected::ViewChange(reason) => {
                assert!(reason.contains("beyond the window"), "{reason}");
                false
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The number of heights above a committed anchor at which blocks may be prepared.
fn open(window: u64) -> usize {
    usize::try_from(2 * window).unwrap()
}

fn message_limit(window: u64, members: usize) -> usize {
    // The smallest blocks that a genesis may have, so the message limit is that of view changes.
    let limits = BlockLimits {
        max_transactions: 1,
        max_body_bytes: 256,
        transaction: TransactionLimits { max_bytes: 256, max_lifetime_ms: 1000 },
        empty_block_gap_ms: 1000,
    };
    WireLimits::of(&limits, window, members).message
}

/// R7, R19b: for every committee and every window, the longest acceptable NEW-VIEW fits. A
/// VIEW-CHANGE with one more block is refused before a signature is verified.
#[test]
fn the_largest_acceptable_new_view_fits_the_message_limit() {
    for members in 4..=31 {
        let colluders = Colluders::of(members);
        for window in 1..=MAX_WINDOW {
            let bytes = MemberMessage::consensus(colluders.new_view(open(window))).len();
            let most = message_limit(window, members);
            assert!(bytes <= most, "{bytes} of {most} bytes: {members} members, window {window}");
            assert!(bytes < quorate_store::MAX_ROW_BYTES, "it fits into a row of the journal");
            // R22b: so does the evidence that one of these VIEW-CHANGEs hides a certificate.
            let commit = colluders.signed(0, Commit(Colluders::ballot(&colluders.headers[1], View(0))));
            let view_change = colluders.view_change(0, &colluders.payload(open(window)));
            let proof = Evidence::Hidden(HiddenCertificate { commit, view_change });
            let bytes = MemberMessage::consensus(Message::Evidence(proof)).len();
            assert!(bytes <= most, "{bytes} of {most} bytes: {members} members, window {window}");
        }
        // Hashing megabytes takes time, so try the smallest windows only: a list without a limit of
        // its own would exceed the message limit there.
        for window in [1, 2, 4] {
            let largest = colluders.new_view(open(window));
            assert!(colluders.believed_if_signed(largest, window), "{members} members, window {window}");
            for count in [open(window) + 1, MAX_STATUS_SLOTS as usize] {
                let change = Message::ViewChange(colluders.view_change(0, &colluders.payload(count)));
                assert!(!colluders.believed_if_signed(change, window), "{members}, {window}: {count}");
                let believed = colluders.believed_if_signed(colluders.new_view(count), window);
                assert!(!believed, "{members} members, window {window}: {count} blocks");
            }
        }
    }
}

/// R8, R19b: a certificate with a wrong number of signers is refused before signatures are
/// verified.
#[test]
fn signers_are_counted_before_signatures_are_verified() {
    let colluders = Colluders::of(7);
    let refused = |payload: &ViewChangePayload| {
        let message = Message::ViewChange(colluders.view_change(0, payload));
        message.check(ReplicaId(0), &colluders.context(8)).unwrap_err()
    };
    let good = colluders.payload(1);
    assert!(matches!(refused(&good), Rejected::Signature(_)));
    let count = |wanted, got| CertificateError::Count { wanted, got };
    for signers in [0..4, 0..6] {
        let got = signers.len();
        let anchor = Some(colluders.anchor(signers));
        assert_eq!(
            refused(&ViewChangePayload { anchor, ..good.clone() }),
            Rejected::Certificate(count(5, got))
        );
    }
    for signers in [1..4, 1..7] {
        let got = signers.len();
        let forged = encode(&(&colluders.headers[1], View(0), colluders.signature, colluders.votes(signers)));
        let prepared = vec![decode(&forged).unwrap()];
        let expected = Rejected::Prepared(PreparedError::Prepares(count(4, got)));
        assert_eq!(refused(&ViewChangePayload { prepared, ..good.clone() }), expected);
    }
}
