//! The pages of governance.

use axum::http::StatusCode;
use quorate_governance::{Change, Operation};
use quorate_ledger::SecretKey;

use super::{page, page_with};
use crate::tools::web::Site;

fn add_member() -> Change {
    let key = SecretKey::from_bytes(&[50; 32]).unwrap().public();
    Change::AddMember { name: "validator-4".parse().unwrap(), consensus_key: key, governance_key: key }
}

#[tokio::test]
async fn the_committee_is_shown_with_its_epochs_and_operations() {
    let site = Site::new();
    let before = page(&site, "/governance").await.text;
    for text in ["4 members, 3 decide", "validator-3", "The committee of the genesis is still in force"] {
        assert!(before.contains(text), "{text}: {before}");
    }
    let renewal = site.node.operation(0, 1, &Operation::Renew);
    site.node.commit(std::slice::from_ref(&renewal));
    let scheduled = page(&site, "/governance").await.text;
    assert!(scheduled.contains("At block 10, which begins a new epoch"), "{scheduled}");
    site.node.grow_to(9);
    let document = page(&site, "/governance").await;
    for text in ["Epoch 1, since block 10", "renew: start a new epoch", "✓ executed", "consensus.window"] {
        assert!(document.text.contains(text), "{text}: {}", document.text);
    }
    assert!(document.links().any(|link| link == format!("/transactions/{}", renewal.id())));
    assert_eq!(document.by_id("main").get("data-live"), Some("poll"));
}

#[tokio::test]
async fn a_network_that_continues_a_chain_names_it() {
    let continues = "This network continues chain";
    assert!(!page(&Site::new(), "/governance").await.text.contains(continues));
    let site = Site::continuing();
    let text = page(&site, "/governance").await.text;
    for said in [continues, &format!("0x{}", "11".repeat(32)), "after block 149 of epoch 3"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_proposal_is_shown_with_what_it_lacks() {
    let site = Site::new();
    assert!(page(&site, "/proposals").await.text.contains("There are none now"));
    let proposal = site.node.operation(2, 1, &Operation::Propose { changes: vec![add_member()] });
    site.node.commit(std::slice::from_ref(&proposal));
    let text = page(&site, "/proposals").await.text;
    for said in
        ["add member validator-4", "Approved byvalidator-2", "not ready: validator-4", "Approvals missing2"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.contains(&format!("quorate governance approve {}", proposal.id())), "{text}");
}

#[tokio::test]
async fn clients_are_shown_in_pages() {
    let site = Site::new();
    assert!(page(&site, "/clients").await.text.contains("0 are registered"));
    let add = |number: u8| {
        let key = SecretKey::from_bytes(&[number; 32]).unwrap().public();
        Operation::AddClient { name: "payments".parse().unwrap(), key }
    };
    for member in 0..2_u8 {
        let numbers = (1..31).map(|number| 60 + 30 * member + number);
        let adding: Vec<_> =
            numbers.map(|number| site.node.operation(member.into(), number.into(), &add(number))).collect();
        site.node.commit(&adding);
    }
    site.node.grow_to(12);
    let first = page(&site, "/clients").await;
    assert!(
        first.text.contains("60 are registered") && first.text.contains("Every key may send"),
        "{}",
        first.text
    );
    let next =
        first.tags.iter().find(|tag| tag.get("rel") == Some("next")).unwrap().get("href").unwrap().to_owned();
    let second = page(&site, &next).await;
    assert_eq!(second.text.matches("payments").count(), 10);
    assert!(second.links().any(|link| link == "/clients"));
    let wrong = page_with(&site, "/clients?after=x", StatusCode::BAD_REQUEST).await;
    assert!(wrong.text.contains("is not a public key"), "{}", wrong.text);
}

#[tokio::test]
async fn a_governance_transaction_is_shown_with_its_outcome() {
    let site = Site::new();
    let proposal = site.node.operation(0, 1, &Operation::Propose { changes: vec![add_member()] });
    let unknown = site.node.operation(1, 1, &Operation::Approve(site.node.transaction(1, b"x").id()));
    site.node.commit(&[proposal.clone(), unknown.clone()]);
    let good = page(&site, &format!("/transactions/{}", proposal.id())).await.text;
    assert!(good.contains("propose to add member validator-4") && good.contains("✓ executed"), "{good}");
    let bad = page(&site, &format!("/transactions/{}", unknown.id())).await.text;
    assert!(bad.contains("✗ failed (unknown_proposal)"), "{bad}");
}
