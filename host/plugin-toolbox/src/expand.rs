//! A file of a template becomes a file of a project: the rules of `plugins/templates/README.md`.

use hooks::Role;

/// What a project is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// The plugin's name.
    pub(crate) name: &'a str,
    /// Its roles, in the order of the contract.
    pub(crate) roles: &'a [Role],
}

impl Wanted<'_> {
    /// Whether a file goes into the project: one whose name up to the first dot is a role goes only with it.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name).replace('_', "-");
        stem.parse::<Role>().map_or(true, |role| self.roles.contains(&role))
    }

    /// The text of a file.
    ///
    /// # Errors
    /// The template breaks its own rules.
    pub(crate) fn expand(&self, template: &str) -> Result<String, String> {
        let mut lines: Vec<&str> = Vec::new();
        // In a block: whether it is kept.
        let mut block: Option<bool> = None;
        for line in template.split('\n') {
            match (mark(line), block) {
                (Some(("", _)), Some(_)) => return Err(format!("a block in a block: {line}")),
                (Some(("", roles)), None) => block = Some(self.any(roles)?),
                (None, Some(_)) if line == "{{end}}" => block = None,
                (_, Some(false)) => {}
                (Some((text, roles)), _) => {
                    if self.any(roles)? {
                        lines.push(text.trim_end_matches(' '));
                    }
                }
                (None, _) => lines.push(line),
            }
        }
        if block.is_some() {
            return Err("a block is not closed".to_owned());
        }
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        let text = lines.join("\n");
        let text = text.replace("{{name}}", self.name).replace("{{name_}}", &self.name.replace('-', "_"));
        let text = text.replace("{{roles}}", &roles.join(", "));
        // Three braces are a language's own: Rust's {{{}}}.
        match text.replace("{{{", "").find("{{") {
            Some(_) => Err("a mark is left over".to_owned()),
            None => Ok(text),
        }
    }

    fn any(&self, words: &str) -> Result<bool, String> {
        let mut any = false;
        for word in words.split_whitespace() {
            any |= self.roles.contains(&word.parse::<Role>()?);
        }
        Ok(any)
    }
}

/// A line that ends with `{{if ROLE …}}`: what stands before the mark, and the roles.
fn mark(line: &str) -> Option<(&str, &str)> {
    let (text, rest) = line.rsplit_once("{{if ")?;
    Some((text, rest.strip_suffix("}}")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, roles: &[Role]) -> Result<String, String> {
        Wanted { name: "my-plugin", roles }.expand(template)
    }

    #[test]
    fn words_lines_and_blocks() {
        let template = "a {{name}} {{name_}} {{roles}}\nx; {{if rewrite}}\n {{if rewrite reverse}}\n\
                        {{if disposition}}\nonly here\nand here {{if rewrite}}\n{{end}}\nend";
        let both = expand(template, &[Role::Rewrite, Role::Disposition]).unwrap();
        assert_eq!(both, "a my-plugin my_plugin rewrite, disposition\nx;\n\nonly here\nand here\nend");
        let other = expand(template, &[Role::RouteTable]).unwrap();
        assert_eq!(other, "a my-plugin my_plugin route-table\nend");
    }

    #[test]
    fn faults_of_a_template_are_told() {
        for bad in
            ["{{nmae}}", "{{if rewrite}}\nx", "x {{if nobody}}", "{{if reverse}}\n{{if rewrite}}\n{{end}}"]
        {
            assert!(expand(bad, &[Role::Rewrite, Role::Reverse]).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_of_a_role_go_with_it() {
        let wanted = Wanted { name: "x", roles: &[Role::RouteTable] };
        for (path, goes) in [
            ("src/route_table.py", true),
            ("src/rewrite.rs", false),
            ("src/lib.rs", true),
            ("README.md", true),
        ] {
            assert_eq!(wanted.has_file(path), goes, "{path}");
        }
    }
}
