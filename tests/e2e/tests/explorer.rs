//! The node's pages in a real browser.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use quorate_api::Wait;
use quorate_e2e::{Browser, Network, Rpc, SignedTransaction, Signer, WAIT_LIMIT, now, until};
use quorate_governance::Operation;
use quorate_ledger::{Payload, SecretKey, Transaction};

/// The text that shows whether the page is up to date.
const LIVE: &str = "document.querySelector('#live').textContent";

/// The result of verifying the receipt.
const VERDICT: &str = "document.querySelector('#verdict').textContent";

/// The text that names the genesis of the verification.
const SOURCE: &str = "document.querySelector('#anchor').textContent";

fn commit(rpc: &Rpc, transaction: &SignedTransaction) {
    let answer = rpc.submit(&transaction.hex, Wait::Committed, 60_000).unwrap();
    assert!(answer.receipt.is_some(), "{answer:?}");
}

#[test]
fn pages_are_live_and_receipts_are_verified_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let network = Network::running(4);
    let (site, rpc) = (&network.validators()[0].rpc, network.rpc(0));
    let mut signer = Signer::new(network.genesis(), 1, 32);
    network.order_one(0);
    let (transaction, later) = (signer.sign(), signer.sign());

    shows_a_new_block(&mut browser, site, &rpc, &transaction);
    shows_a_transaction_that_is_committed_later(&mut browser, site, &rpc, &later);
    shows_what_was_verified(&mut browser, site, &transaction);
    verifies_against_a_chosen_genesis(&mut browser, &network);
    verifies_a_receipt_of_a_later_epoch(&mut browser, &network, &signer.sign());
    fits_on_a_phone(&mut browser, site, &transaction);
}

/// A new block appears in the page without a reload.
fn shows_a_new_block(browser: &mut Browser, site: &str, rpc: &Rpc, transaction: &SignedTransaction) {
    browser.go_to(&format!("{site}/"));
    browser.wait_for("the overview to be live", &format!("{LIVE}.includes('live, block by block')"));
    browser.evaluate("window.kept = true");
    let before = rpc.head().height;
    commit(rpc, transaction);
    let newest = "Number(document.querySelector('#blocks tbody tr').dataset.height)";
    browser.wait_for("a new block in the table", &format!("{newest} > {before}"));
    browser
        .wait_for("a new head", &format!("Number(document.querySelector('#head').textContent) > {before}"));
    assert_eq!(browser.evaluate("window.kept"), true, "the page was not reloaded");
    let row = browser.evaluate("document.querySelector('#blocks tbody tr').innerText");
    assert!(row.as_str().unwrap().contains("validator-"), "a streamed row names its proposer: {row}");
}

/// A transaction that is unknown first, and later committed.
fn shows_a_transaction_that_is_committed_later(
    browser: &mut Browser,
    site: &str,
    rpc: &Rpc,
    later: &SignedTransaction,
) {
    browser.go_to(&format!("{site}/transactions/{}", later.id));
    browser
        .wait_for("an unknown transaction", "document.querySelector('main').innerText.includes('unknown')");
    // Browsers report the expected 404 response as an error.
    let missing = browser.complaints();
    assert!(missing.iter().all(|complaint| complaint.contains("404")), "{missing:?}");
    commit(rpc, later);
    browser.wait_for("the receipt of what was unknown", &format!("{VERDICT}.startsWith('✓ verified')"));
    browser.complaints();
}

/// What was verified, and against which genesis.
fn shows_what_was_verified(browser: &mut Browser, site: &str, transaction: &SignedTransaction) {
    browser.go_to(&format!("{site}/transactions/{}", transaction.id));
    browser.wait_for("the receipt", &format!("{VERDICT}.startsWith('✓ verified')"));
    let steps = "[...document.querySelectorAll('#steps strong')].map((step) => step.textContent).join()";
    assert_eq!(browser.evaluate(steps), "✓ Content,✓ Merkle tree,✓ Header,✓ Certificate,✓ Committee");
    let certificate = "document.querySelectorAll('#steps span')[3].textContent";
    let certificate = browser.evaluate(certificate);
    let text = certificate.as_str().unwrap();
    assert!(text.starts_with("3 signatures of ") && text.matches("validator-").count() == 3, "{text}");
    assert!(browser.evaluate(SOURCE).as_str().unwrap().contains("from this same node"));
}

/// Verifies the shown receipt with the genesis of another network, then with the right one again.
fn verifies_against_a_chosen_genesis(browser: &mut Browser, network: &Network) {
    let other = network.directory().join("other.toml");
    let text = network.genesis().to_toml().replace(network.genesis().name(), "another-network");
    std::fs::write(&other, text).unwrap();
    browser.choose_file("#genesis", &other);
    browser.wait_for("a refusal", &format!("{VERDICT}.startsWith('✗ not verified')"));
    let verdict = browser.evaluate(VERDICT);
    assert!(verdict.as_str().unwrap().contains("belongs to another chain"), "{verdict}");
    browser.choose_file("#genesis", network.genesis_file());
    browser.wait_for("the receipt again", &format!("{VERDICT}.startsWith('✓ verified')"));
    assert!(browser.evaluate(SOURCE).as_str().unwrap().contains("your file genesis.toml"));
}

/// The page gets the epoch proofs from the node. The browser keeps them for the next page.
fn verifies_a_receipt_of_a_later_epoch(
    browser: &mut Browser,
    network: &Network,
    transaction: &SignedTransaction,
) {
    let (site, rpc) = (&network.validators()[0].rpc, network.rpc(0));
    let pem = std::fs::read_to_string(network.validators()[1].home.join("governance.pem")).unwrap();
    let key = SecretKey::from_pem(&pem, None).unwrap();
    let payload = Payload::Governance(Operation::Renew.to_bytes());
    let renewal = Transaction::sign(&network.genesis().chain_id(), &key, 1, now().plus_ms(100_000), payload);
    commit(&rpc, &SignedTransaction::of(&renewal));
    until("epoch 1 begins", WAIT_LIMIT, || (rpc.try_status()?.epoch == 1).then_some(()));
    commit(&rpc, transaction);

    browser.go_to(&format!("{site}/transactions/{}", transaction.id));
    browser.wait_for("the receipt of epoch 1", &format!("{VERDICT}.startsWith('✓ verified')"));
    let committee = browser.evaluate("document.querySelectorAll('#steps span')[4].textContent");
    assert!(committee.as_str().unwrap().starts_with("The keys are those of epoch 1."), "{committee}");
    browser.choose_file("#genesis", network.genesis_file());
    browser.wait_for("the receipt by the file", &format!("{SOURCE}.includes('your file genesis.toml')"));
    browser.wait_for("the receipt again", &format!("{VERDICT}.startsWith('✓ verified')"));
    let place = format!("'quorate-epochs-{}'", network.genesis().chain_id());
    let kept = browser.evaluate(&format!("JSON.parse(localStorage.getItem({place})).proofs.length"));
    assert_eq!(kept, 1);

    // The browser knows more epochs than the node proves, as after the node lost its newest blocks.
    let nothing = format!("{{ result: {{ chain_id: '{}', proofs: [] }} }}", network.genesis().chain_id());
    browser.evaluate(&format!(
        "window.realFetch = window.fetch; window.fetch = (url, options) => \
         options?.body?.includes('network_epochs') \
         ? Promise.resolve(new Response(JSON.stringify({nothing}))) : window.realFetch(url, options)"
    ));
    let again = "document.querySelector('#genesis').dispatchEvent(new Event('change'))";
    browser.evaluate(again);
    browser.wait_for("a refusal of the node", &format!("{VERDICT}.includes('not prove the end of epoch 0')"));
    // A browser that knows no epochs cannot tell: the receipt is unproven.
    browser.evaluate("localStorage.clear()");
    browser.evaluate(again);
    browser.wait_for("an unproven receipt", &format!("{VERDICT}.startsWith('? unproven')"));
}

/// On a phone, nothing may be wider than the screen.
fn fits_on_a_phone(browser: &mut Browser, site: &str, transaction: &SignedTransaction) {
    browser.resize(360, 740);
    let transaction = format!("/transactions/{}", transaction.id);
    let unknown = format!("/transactions/0x{}", "ab".repeat(32));
    for path in [
        "/",
        "/blocks",
        "/blocks/1",
        "/blocks/0",
        &transaction,
        "/validators",
        "/mempool",
        "/explain",
        "/search",
        "/readyz",
    ] {
        browser.go_to(&format!("{site}{path}"));
        let width = browser.evaluate("document.documentElement.scrollWidth");
        assert!(width.as_u64().unwrap() <= 360, "{path} is {width} pixels wide");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new(), "no page violates its policy or fails otherwise");
    browser.go_to(&format!("{site}{unknown}"));
    assert!(browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap() <= 360);
}

#[test]
fn pages_say_what_is_wrong_with_the_network_and_when_they_are_out_of_date() {
    let Some(mut browser) = Browser::start() else { return };
    let mut network = Network::running(4);
    let site = network.validators()[0].rpc.clone();
    network.order_one(0);

    // Two of four are killed: the page shows it without a reload.
    browser.go_to(&format!("{site}/explain"));
    browser.wait_for("an idle node", "document.querySelector('#state').textContent.includes('✓ idle')");
    network.kill(2);
    network.kill(3);
    browser.wait_for(
        "no quorum",
        "document.querySelector('#state').textContent.includes('✗ no quorum contact')",
    );
    let page = browser.evaluate("document.querySelector('main').innerText");
    let page = page.as_str().unwrap();
    for index in [2, 3] {
        let name = &network.validators()[index].name;
        assert!(page.contains(&format!("Start or reconnect {name}")) || page.contains(name), "{page}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // The node itself is killed: the page is not marked as live until the node is back.
    browser.go_to(&format!("{site}/"));
    browser.wait_for("the overview to be live", &format!("{LIVE}.includes('live, block by block')"));
    network.kill(0);
    browser.wait_for("the page to be out of date", &format!("{LIVE}.startsWith('○ not live since')"));
    network.start(0);
    browser.wait_for("the page to be live again", &format!("{LIVE}.startsWith('● live')"));
    // A frozen node sends nothing, but its streams stay open.
    network.pause(0);
    browser.wait_for("silence to be noticed", &format!("{LIVE}.includes('the node does not respond')"));
    network.resume(0);
    browser.wait_for("the page to be live after all", &format!("{LIVE}.startsWith('● live')"));
}

/// Opens a stream of blocks in addition to the page's, if the node accepts one.
fn take_stream(node: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(node).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream.write_all(b"GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (&status == b"HTTP/1.1 200").then_some(stream)
}

#[test]
fn a_hidden_page_leaves_its_stream_to_others_and_without_one_it_is_polled() {
    let Some(mut browser) = Browser::start() else { return };
    let mut network = Network::testnet(4);
    network.start_with(0, &[], &[("QUORATE_RPC__MAX_STREAMS", "1")]);
    network.start_all();
    network.wait_until_ready(0);
    let (rpc, address) = (network.rpc(0), network.validators()[0].rpc_address());

    browser.go_to(&format!("{}/blocks", network.validators()[0].rpc));
    browser.wait_for("the list to be live", &format!("{LIVE}.includes('live, block by block')"));
    assert!(take_stream(address).is_none(), "the page uses the only stream");
    let show = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.evaluate(&show(true));
    let other = until("the stream of a hidden page is free", WAIT_LIMIT, || take_stream(address));

    let before = rpc.head().height;
    commit(&rpc, &Signer::new(network.genesis(), 1, 32).sign());
    browser.evaluate(&show(false));
    browser.wait_for("the list to be polled", &format!("{LIVE}.includes('live, every 2 s')"));
    let newest = "Number(document.querySelector('#blocks tbody tr').dataset.height)";
    browser.wait_for("what came while the page was hidden", &format!("{newest} > {before}"));
    let before = rpc.head().height;
    commit(&rpc, &Signer::new(network.genesis(), 1, 32).sign());
    browser.wait_for("a new block without a stream", &format!("{newest} > {before}"));
    drop(other);
}
