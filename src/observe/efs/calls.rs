//! The calls of EFS. Each gives the whole answer or none.

use std::collections::BTreeSet;

use aws_sdk_efs::types::{FileSystemDescription, LifeCycleState, ReplicationConfigurationDescription};

use super::{Efs, FileSystem, Sizes};
use crate::observe::aws::{Called, Clients, word};

/// Most pages of one list: EFS has at most 10 000 access points for a file system, 100 a page.
const MOST_PAGES: usize = 200;

/// A page of a list, and the token of the next.
type Page<T> = (Option<Vec<T>>, Option<String>);

impl Efs {
    /// What AWS says of the file system.
    ///
    /// # Errors
    /// When an answer is not whole, or the file system is not available.
    pub(super) async fn describe(&self) -> Result<FileSystem, String> {
        let (id, clients) = (&self.policy.id, self.aws.region(&self.policy.region).await);
        let of = format!("file system {id} in {}", self.policy.region);
        let described = system(&clients, id, &of).await?;
        if described.life_cycle_state != LifeCycleState::Available {
            let state = word(described.life_cycle_state.as_str());
            return Err(format!("{of} is {state}, not available: nothing is deleted meanwhile"));
        }
        let size = described.size_in_bytes.as_ref();
        let bytes = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        let size = Sizes {
            total: bytes(size.map(|size| size.value)),
            standard: bytes(size.and_then(|size| size.value_in_standard)),
            infrequent_access: bytes(size.and_then(|size| size.value_in_ia)),
            archive: bytes(size.and_then(|size| size.value_in_archive)),
        };
        let protection = described.file_system_protection.and_then(|one| one.replication_overwrite_protection);
        let replicating = protection.is_some_and(|protection| protection.as_str() == "REPLICATING");
        let replications = replications(&clients, id, &of).await?;
        let source = replications.iter().find(|one| one.destinations.iter().any(|to| to.file_system_id == *id));
        let replica_of = source
            .map(|source| word(&source.source_file_system_id))
            .or_else(|| replicating.then(|| "another file system".to_owned()));
        Ok(FileSystem {
            id: id.clone(),
            size,
            replica_of,
            addresses: addresses(&clients, id, &of).await?,
            access_points: access_points(&clients, id, &of).await?,
        })
    }
}

async fn system(clients: &Clients, id: &str, of: &str) -> Result<FileSystemDescription, String> {
    let called = Called { action: "elasticfilesystem:DescribeFileSystems", of };
    let answer = clients.efs.describe_file_systems().file_system_id(id).send().await;
    let answer = answer.map_err(|error| called.failed(&error))?;
    let mut systems = answer.file_systems.unwrap_or_default().into_iter();
    match (systems.next(), systems.next()) {
        (Some(system), None) if system.file_system_id == id => Ok(system),
        _ => Err(called.partial("it does not describe this file system, and it alone")),
    }
}

async fn addresses(clients: &Clients, id: &str, of: &str) -> Result<BTreeSet<std::net::IpAddr>, String> {
    let called = Called { action: "elasticfilesystem:DescribeMountTargets", of };
    let targets = pages(called, async |token| {
        let call = clients.efs.describe_mount_targets().file_system_id(id).set_marker(token);
        let page = call.send().await.map_err(|error| called.failed(&error))?;
        Ok((page.mount_targets, page.next_marker))
    });
    Ok(targets.await?.into_iter().filter_map(|target| target.ip_address?.parse().ok()).collect())
}

async fn access_points(clients: &Clients, id: &str, of: &str) -> Result<BTreeSet<String>, String> {
    let called = Called { action: "elasticfilesystem:DescribeAccessPoints", of };
    let points = pages(called, async |token| {
        let call = clients.efs.describe_access_points().file_system_id(id).set_next_token(token);
        let page = call.send().await.map_err(|error| called.failed(&error))?;
        Ok((page.access_points, page.next_token))
    });
    Ok(points.await?.into_iter().filter_map(|point| point.access_point_id).collect())
}

async fn replications(
    clients: &Clients,
    id: &str,
    of: &str,
) -> Result<Vec<ReplicationConfigurationDescription>, String> {
    let called = Called { action: "elasticfilesystem:DescribeReplicationConfigurations", of };
    let all = pages(called, async |token| {
        let call = clients.efs.describe_replication_configurations().file_system_id(id).set_next_token(token);
        match call.send().await {
            Ok(page) => Ok((page.replications, page.next_token)),
            // Neither source nor destination of any.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_replication_not_found()) => {
                Ok((Some(Vec::new()), None))
            }
            Err(error) => Err(called.failed(&error)),
        }
    });
    all.await
}

/// All pages of a list.
async fn pages<T>(
    called: Called<'_>,
    ask: impl AsyncFn(Option<String>) -> Result<Page<T>, String>,
) -> Result<Vec<T>, String> {
    let (mut all, mut token) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let (page, next) = ask(token.clone()).await?;
        all.extend(page.ok_or_else(|| called.partial("its list is missing"))?);
        match next.filter(|next| !next.is_empty()) {
            None => return Ok(all),
            Some(next) if token.as_ref() == Some(&next) => return Err(called.partial("its pages go round in circles")),
            next => token = next,
        }
    }
    Err(called.partial(&format!("it has more than {MOST_PAGES} pages")))
}
