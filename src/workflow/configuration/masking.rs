//! Takes credentials out of what is shown.

/// What stands instead of a secret.
pub(super) const MASK: &str = "***";

/// Parts of parameter and flag names that make their value a secret.
const SECRET_NAMES: [&str; 9] =
    ["pass", "secret", "token", "key", "credential", "auth", "header", "cookie", "sas_url"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// Takes the password out of `scheme://user:password@host`. Whatever it holds: all up to the
/// last `@` may belong to it, and too much masked is better than too little.
pub fn mask_url(url: &str) -> String {
    let Some(start) = url.find("://").map(|position| position + 3) else {
        return url.to_owned();
    };
    let end = url[start..].find(['\'', '"']).map_or(url.len(), |length| start + length);
    let Some(at) = url[start..end].rfind('@').map(|length| start + length) else {
        return url.to_owned();
    };
    match url[start..at].find(':') {
        Some(colon) => format!("{}:{MASK}{}", &url[..start + colon], &url[at..]),
        None => url.to_owned(),
    }
}

/// Takes the secrets out of a remote with parameters: `:webdav,pass=…:path`.
pub fn mask_remote(remote: &str) -> String {
    let mut masked = String::with_capacity(remote.len());
    let mut parameter = String::new();
    let mut quote = None;
    let mut in_parameters = false;
    for character in remote.chars() {
        let ends = quote.is_none() && in_parameters && matches!(character, ',' | ':');
        if ends {
            masked.push_str(&mask_parameter(&parameter));
            parameter.clear();
            in_parameters = character == ',';
        }
        if !ends && in_parameters {
            match quote {
                Some(open) if open == character => quote = None,
                None if matches!(character, '"' | '\'') => quote = Some(character),
                _ => {}
            }
            parameter.push(character);
        } else {
            // A path may hold commas: only those before its colon open parameters.
            let before_path = !masked.trim_start_matches(':').contains(':');
            in_parameters |= character == ',' && before_path;
            masked.push(character);
        }
    }
    masked + &mask_parameter(&parameter)
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        Some((name, value)) => format!("{name}={}", mask_url(value)),
        None => parameter.to_owned(),
    }
}

/// Takes the secrets out of rclone flags, in one word (`--x=y`) or two.
pub fn mask_flags(flags: &[String]) -> Vec<String> {
    let mut after_secret = false;
    flags
        .iter()
        .map(|flag| {
            let hidden = std::mem::take(&mut after_secret) && !flag.starts_with("--");
            match flag.split_once('=') {
                _ if hidden => MASK.to_owned(),
                Some((name, _)) if name.starts_with("--") && is_secret(name) => format!("{name}={MASK}"),
                Some((name, value)) => format!("{name}={}", mask_url(value)),
                None => {
                    after_secret = flag.starts_with("--") && is_secret(flag);
                    mask_url(flag)
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_and_the_rest_stays() {
        for (url, masked) in [
            ("smtps://me@host:465", "smtps://me@host:465"),
            ("smtps://me:se:c@ret@host:465/x", "smtps://me:***@host:465/x"),
            ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
            ("no url", "no url"),
            ("socks5://user:hunter2/x@127.0.0.1:9", "socks5://user:***@127.0.0.1:9"),
            ("smtps://me:25#hunter2@host:465", "smtps://me:***@host:465"),
            ("https://host:443/path?x=1", "https://host:443/path?x=1"),
        ] {
            assert_eq!(mask_url(url), masked);
        }
        for (remote, masked) in [
            ("alist:a,pass=b/c", "alist:a,pass=b/c"),
            (
                ":webdav,url='https://u:p@h:1/d',pass=x,user=me:a:b",
                ":webdav,url='https://u:***@h:1/d',pass=***,user=me:a:b",
            ),
            (":webdav,url='https://u:p/q@h/d':a@b", ":webdav,url='https://u:***@h/d':a@b"),
            ("s3,secret_access_key=\"a,b:c\":bucket", "s3,secret_access_key=***:bucket"),
        ] {
            assert_eq!(mask_remote(remote), masked);
        }
        let flags = ["--transfers=4", "--webdav-pass=x", "--s3-secret-access-key", "y", "--bwlimit", "1M"];
        assert_eq!(
            mask_flags(&flags.map(String::from)),
            ["--transfers=4", "--webdav-pass=***", "--s3-secret-access-key", "***", "--bwlimit", "1M"]
        );
    }
}
