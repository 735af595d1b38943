//! Fetching the programs that make clusters, each held against the checksum that its project publishes beside it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use semver::Version;
use sha2::{Digest as _, Sha256};

use super::ClusterError;

/// For one file; istioctl of 1.31 has 30 MB.
const LIMIT: Duration = Duration::from_secs(600);
/// No program is as large (istioctl 1.31.1 unpacked: 100 MB).
const LARGEST: u64 = 500 << 20;

/// A program that makes clusters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// kind, of a release of its own.
    Kind(Version),
    /// istioctl of a release of Istio.
    Istioctl(Version),
}

/// Where releases are published.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Of kind: below it a folder `v0.32.0`.
    pub kind: String,
    /// Of Istio: below it a folder `1.31.1`.
    pub istio: String,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            kind: "https://github.com/kubernetes-sigs/kind/releases/download".to_owned(),
            istio: "https://github.com/istio/istio/releases/download".to_owned(),
        }
    }
}

/// What became of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before.
    pub was_there: bool,
}

/// What is published for this system.
struct Published {
    url: String,
    /// The checksum's ending.
    checksum: &'static str,
    is_archive: bool,
    /// What the program is called in the folder.
    name: String,
}

impl Program {
    fn published(&self, sources: &Sources) -> Published {
        let processor = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        };
        let is_mac = std::env::consts::OS == "macos";
        match self {
            Self::Kind(version) => {
                let system = if is_mac { "darwin" } else { "linux" };
                Published {
                    url: format!("{}/v{version}/kind-{system}-{processor}", sources.kind),
                    checksum: "sha256sum",
                    is_archive: false,
                    name: "kind".to_owned(),
                }
            }
            Self::Istioctl(version) => {
                let system = if is_mac { "osx" } else { "linux" };
                let file = format!("istioctl-{version}-{system}-{processor}.tar.gz");
                Published {
                    url: format!("{}/{version}/{file}", sources.istio),
                    checksum: "sha256",
                    is_archive: true,
                    name: format!("istioctl-{version}"),
                }
            }
        }
    }
}

/// Puts a program into `folder`, unless it is there.
///
/// # Errors
/// When it cannot be fetched or written, or is not what was published: [`ClusterError::Fetch`], [`ClusterError::Checksum`].
pub async fn fetch(program: &Program, folder: &Path, sources: &Sources) -> Result<Fetched, ClusterError> {
    let published = program.published(sources);
    let path = folder.join(&published.name);
    let failed = |message: String| ClusterError::Fetch {
        url: published.url.clone(),
        message,
        folder: folder.to_owned(),
    };
    // The name says which istioctl it is; kind is asked of its project, below.
    if published.is_archive && path.is_file() {
        return Ok(Fetched {
            path,
            was_there: true,
        });
    }
    // reqwest takes the provider of the process. Somebody else may have chosen ring too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .build()
        .map_err(|error| failed(in_full(&error)))?;
    let beside = format!("{}.{}", published.url, published.checksum);
    let text = get(&client, &beside).await.map_err(failed)?;
    let checksum = checksum(&text).ok_or_else(|| failed(format!("{beside} has no checksum")))?;
    if path.is_file() && sha256(&std::fs::read(&path).map_err(|error| failed(error.to_string()))?) == checksum
    {
        return Ok(Fetched {
            path,
            was_there: true,
        });
    }
    let bytes = get(&client, &published.url).await.map_err(failed)?;
    let found = sha256(&bytes);
    if found != checksum {
        return Err(ClusterError::Checksum {
            url: published.url.clone(),
            found,
            published: checksum,
        });
    }
    let bytes = if published.is_archive {
        unpack(&bytes, "istioctl").map_err(|error| failed(error.to_string()))?
    } else {
        bytes
    };
    install(&bytes, &path).map_err(|error| failed(error.to_string()))?;
    Ok(Fetched {
        path,
        was_there: false,
    })
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let get = async {
        let response = client.get(url).send().await?.error_for_status()?;
        response.bytes().await
    };
    get.await
        .map(|bytes| bytes.to_vec())
        .map_err(|error| in_full(&error))
}

/// An error with its causes, which reqwest keeps to itself.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// The first word of what `sha256sum` writes.
fn checksum(text: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(text).ok()?.split_whitespace().next()?;
    let is_one = word.len() == 64 && word.bytes().all(|it| it.is_ascii_hexdigit());
    is_one.then(|| word.to_ascii_lowercase())
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The file of that name in an archive.
fn unpack(archive: &[u8], name: &str) -> std::io::Result<Vec<u8>> {
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries()? {
        let entry = entry?;
        if entry.path()?.file_name().is_some_and(|it| it == name) {
            let mut bytes = Vec::new();
            entry.take(LARGEST).read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    Err(std::io::Error::other(format!(
        "there is no {name} in the archive"
    )))
}

/// Whole, or not at all: another run may look for it meanwhile.
fn install(bytes: &[u8], path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// Serves files until the test is over; the paths that were asked for are in `asked`.
    fn serve(files: BTreeMap<String, Vec<u8>>) -> (Sources, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let path = first.split(' ').nth(1).unwrap().to_owned();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let (status, body) = match files.get(&path) {
                    Some(body) => ("200 OK", body.as_slice()),
                    None => ("404 Not Found", b"".as_slice()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(body).unwrap();
                if tell.send(path).is_err() {
                    return;
                }
            }
        });
        let sources = Sources {
            kind: format!("http://{address}/kind"),
            istio: format!("http://{address}/istio"),
        };
        (sources, asked)
    }

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn istioctl() -> Program {
        Program::Istioctl(Version::new(1, 31, 1))
    }

    /// The path of a program below a server, and that of its checksum.
    fn paths(program: &Program) -> (String, String) {
        let published = program.published(&Sources {
            kind: "/kind".to_owned(),
            istio: "/istio".to_owned(),
        });
        let checksum = format!("{}.{}", published.url, published.checksum);
        (published.url, checksum)
    }

    #[tokio::test]
    async fn programs_come_once_whole_and_executable() {
        let kind = Program::Kind(Version::new(0, 32, 0));
        let (kind_path, kind_checksum) = paths(&kind);
        let (path, checksum) = paths(&istioctl());
        let packed = archive("istioctl", b"the program");
        let (sources, asked) = serve(BTreeMap::from([
            (checksum, format!("{}  it.tar.gz\n", sha256(&packed)).into_bytes()),
            (path.clone(), packed),
            (kind_checksum, sha256(b"kind").into_bytes()),
            (kind_path.clone(), b"kind".to_vec()),
        ]));
        let folder = tempfile::tempdir().unwrap();
        for (program, name, content) in [
            (istioctl(), "istioctl-1.31.1", "the program"),
            (kind, "kind", "kind"),
        ] {
            for was_there in [false, true] {
                let fetched = fetch(&program, folder.path(), &sources).await.unwrap();
                let expected = folder.path().join(name);
                assert_eq!(
                    (&fetched.path, fetched.was_there),
                    (&expected, was_there),
                    "{name}"
                );
                assert_eq!(std::fs::read_to_string(&expected).unwrap(), content);
                assert_eq!(expected.metadata().unwrap().permissions().mode() & 0o777, 0o755);
            }
        }
        let asked: Vec<String> = asked.try_iter().collect();
        let times = |path: &String| asked.iter().filter(|it| *it == path).count();
        assert_eq!((times(&path), times(&kind_path)), (1, 1), "{asked:?}");
    }

    #[tokio::test]
    async fn what_was_not_published_like_this_is_not_installed() {
        let (path, checksum) = paths(&istioctl());
        let packed = archive("istioctl", b"the program");
        let other = archive("README", b"no program");
        let right = sha256(&packed).into_bytes();
        let cases = [
            (
                "another checksum",
                Some(sha256(b"other").into_bytes()),
                Some(packed.clone()),
                "is not what was published",
            ),
            (
                "no checksum",
                Some(b"<html>".to_vec()),
                Some(packed.clone()),
                "has no checksum",
            ),
            ("nothing beside it", None, Some(packed), "404"),
            ("nothing", Some(right), None, "404"),
            (
                "no istioctl in it",
                Some(sha256(&other).into_bytes()),
                Some(other),
                "no istioctl in the archive",
            ),
        ];
        for (name, beside, content, expected) in cases {
            let files = [(checksum.clone(), beside), (path.clone(), content)];
            let files = files.into_iter().filter_map(|(path, it)| Some((path, it?)));
            let (sources, _asked) = serve(files.collect());
            let folder = tempfile::tempdir().unwrap();
            let error = fetch(&istioctl(), folder.path(), &sources).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{name}: {error}");
            assert!(error.is_machine(), "{name}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        }
    }
}
