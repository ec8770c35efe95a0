//! The rules of Stanford's English tokenizer as of CoreNLP 3.4.1, with its default options and line ends kept.
//!
//! Source: the grammar `PTBLexer.flex` of that version. A rule here is a regular expression for the token, one for the
//! text that must follow, and the token's form. As in the grammar, the rule that matches most text wins (the text that
//! follows included), then the first. `{name}` stands for a definition, `(?i:` for ASCII words in any case.

/// How a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As in the caption.
    Same,
    /// Not at all.
    Nothing,
    /// As this text.
    Text(&'static str),
    /// Without soft hyphens.
    NoSoftHyphens,
    /// With spaces as no-break spaces.
    NoBreak,
    /// With brackets by name.
    Brackets,
    /// With brackets by name and spaces as no-break spaces.
    NoBreakBrackets,
    /// With `&amp;` as `&`.
    Ampersand,
    /// With fractions as digits.
    Fraction,
    /// With currency signs in ASCII.
    Currency,
    /// With quotes in the style of LaTeX.
    Quotes(Side),
    /// Dashes: three or four hyphens are two.
    Dashes,
    /// Without its last characters, which begin the next token.
    Split(usize),
    /// With its period, which also is the next token.
    WithPeriod,
    /// An acronym: as [`Form::WithPeriod`], but a single letter loses its period to the next token.
    Acronym,
    /// The caption's line ends here.
    LineEnd,
}

/// The side of a text that a quote is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A rule for a kind of token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The token.
    pub(super) token: &'static str,
    /// The text that must follow; empty for any.
    pub(super) next: &'static str,
    pub(super) form: Form,
}

const fn rule(token: &'static str, form: Form) -> Rule {
    Rule {
        token,
        next: "",
        form,
    }
}

const fn rule_before(token: &'static str, next: &'static str, form: Form) -> Rule {
    Rule { token, next, form }
}

/// The parts of rules. A definition may use those above it.
pub(super) const DEFINITIONS: &[(&str, &str)] = &[
    // Characters. The grammar's tables are those of Unicode 6.3, before some letters of New Tai Lue and Vedic were
    // reclassified.
    (
        "unicode_letter",
        r"[[\p{L}&&\p{age=6.3}--[\u{19B0}-\u{19C0}\u{19C8}\u{19C9}\u{1CF2}\u{1CF3}]]\u{1885}\u{1886}]",
    ),
    ("uppercase", r"[\p{Uppercase}&&\p{age=6.3}--[\u{13A0}-\u{13F4}]]"),
    ("unicode_digit", r"[\p{Nd}&&\p{age=6.3}]"),
    ("blank", r"[ \t\u{A0}\u{2000}-\u{200A}\u{3000}]"),
    ("line_end", r"(\r|\r?\n|[\u{2028}\u{2029}\u{B}\u{C}\u{85}])"),
    ("space", "({blank}|{line_end})"),
    ("digit", r"{unicode_digit}|[\u{7C0}-\u{7C9}]"),
    ("hyphen", r"[-_\u{58A}\u{2010}\u{2011}]"),
    ("comma", r"[,;:\u{3001}]"),
    (
        "mark",
        r"[\u{AD}\u{237}-\u{24F}\u{2C2}-\u{2C5}\u{2D2}-\u{2DF}\u{2E5}-\u{37D}\u{384}\u{385}\u{3CF}\u{3F6}\u{3FC}-\u{3FF}\u{483}-\u{487}\u{4CF}\u{4F6}-\u{4FF}\u{510}-\u{525}\u{55A}-\u{55F}\u{591}-\u{5BD}\u{5BF}\u{5C1}\u{5C2}\u{5C4}\u{5C5}\u{5C7}\u{615}-\u{61A}\u{63B}-\u{63F}\u{64B}-\u{65E}\u{670}\u{6D6}-\u{6EF}\u{6FA}-\u{6FF}\u{70F}\u{711}\u{730}-\u{77F}\u{7A6}-\u{7B1}\u{7CA}-\u{7F5}\u{7FA}\u{900}-\u{903}\u{93C}\u{93E}-\u{94E}\u{951}-\u{955}\u{962}\u{963}\u{981}-\u{983}\u{9BC}-\u{9C4}\u{9C7}\u{9C8}\u{9CB}-\u{9CD}\u{9D7}\u{9E2}\u{9E3}\u{A01}-\u{A03}\u{A3C}\u{A3E}-\u{A4F}\u{A81}-\u{A83}\u{ABC}-\u{ACF}\u{B82}\u{BBE}-\u{BC2}\u{BC6}-\u{BC8}\u{BCA}-\u{BCD}\u{C01}-\u{C03}\u{C3E}-\u{C56}\u{D3E}-\u{D44}\u{D46}-\u{D48}\u{E30}-\u{E3A}\u{E47}-\u{E4E}\u{EB1}-\u{EBC}\u{EC8}-\u{ECD}]",
    ),
    ("accented", "&[aeiouAEIOU](?i:acute|grave|uml);"),
    ("letter", "({unicode_letter}|{mark}|{accented})"),
    ("alphanumeric", "({letter}|{digit})"),
    ("plain", "({unicode_letter}|{unicode_digit})"),
    // Apostrophes, and what people type for them.
    ("apostrophe", r"(['\u{92}\u{2019}]|(?i:&apos;))"),
    ("any_apostrophe", r"({apostrophe}|[`\u{91}\u{2018}\u{201B}])"),
    ("ampersand", "(?i:&amp;)"),
    ("tag_name", "[A-Za-z][A-Za-z0-9_:.-]*"),
    (
        "tag",
        r#"<([!?][A-Za-z-][^>\r\n]*|{tag_name}( +{tag_name}( *= *('[^']*'|"[^"]*"))?)* */?|/{tag_name}) *>"#,
    ),
    // Abbreviations. Most of those in `closing` end a clause, most of `title` are followed by a name.
    (
        "us_compound",
        r"((?i:canada|sino|korean|eu|japan|non)-(?i:u\.s)|(?i:u\.s\.-(u\.k|u\.s\.s\.r)))",
    ),
    ("initials", r"([A-Za-z](\.[A-Za-z])*|{us_compound})"),
    ("dotted_initials", r"([A-Za-z](\.[A-Za-z])+|{us_compound})"),
    (
        "month_or_day",
        "(?i:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri)",
    ),
    (
        "state",
        "((?i:ala|ariz|calif|colo|conn|ct|dak|fla|ga|ind|kans?|ky|md|mich|minn|mo|mont|neb|nev|okla|penn|tenn|va|vt|wisc?|wyo)|A(?i:z|rk)|D(?i:el)|I(?i:ll)|L(?i:a)|M(?i:ass|iss)|O(?i:re)|P(?i:a)|T(?i:ex)|W(?i:ash))",
    ),
    (
        "company",
        "((?i:inc|cos?|corp|ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys)|(?i:pp?t)[ye](?i:s?))",
    ),
    (
        "closing",
        r"({month_or_day}|{state}|{company}|(?i:tel|est|ext|sq|jr|sr|bros|(ed|ph)\.d|blvd|rd|esq|etc|al|seq|bldg))\.",
    ),
    (
        "title",
        r"((?i:mr|mrs|ms|drs?|profs?|sens?|reps?|attys?|lt|col|gen|messrs|govs?|adm|rev|maj|sgt|cpl|pvt|capt|ste?|ave|pres|lieut|hon|brig|co?mdr|pfc|spc|supts?|det|mt|ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc)|M(?i:iss)|(?i:vs|alex|wm|jos|cie|a\.k\.a|cf|treas|ph)|{initials}|(?i:invt|elec|natl|dept)|(?i:m)[ft](?i:g))",
    ),
    // Words.
    ("word", "{letter}{alphanumeric}*([.!?]{letter}{alphanumeric}*)*"),
    ("contraction", "{apostrophe}([msdMSD]|(?i:re|ve|ll))"),
    ("before_not", r"[A-Za-z\u{AD}]*[A-MO-Za-mo-z]\u{AD}*"),
    ("not", "(?i:n){any_apostrophe}(?i:t)"),
    ("elided", "[dDoOlL]{any_apostrophe}{plain}"),
    ("hyphenated", "{elided}?{plain}+({hyphen}{elided}?{plain}+)*"),
    ("ampersand_name", "[A-Z]+(([+&]|{ampersand})[A-Z]+)+"),
    ("slash_part", "[A-Za-z0-9]+(-[A-Za-z]+){0,2}"),
    (
        "dashed",
        r"[A-Za-z0-9][A-Za-z0-9.,\u{AD}]*(-([A-Za-z0-9\u{AD}]+|{dotted_initials}\.))+",
    ),
    (
        "file_name",
        r"{alphanumeric}+(\.{alphanumeric}+)*\.(?i:bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip)",
    ),
    // Numbers.
    (
        "number",
        r"({digit}+|{digit}*([.:,\u{AD}\u{66B}\u{66C}]{digit}+)+)",
    ),
];

/// The rules, in the order of the grammar.
pub(super) const RULES: &[Rule] = &[
    rule(r"(?i:c)\+\+", Form::Same),
    rule("(?i:c|f)#", Form::Same),
    rule("(?i:cannot)", Form::Split(3)),
    rule("(?i:'twas)", Form::Split(3)),
    rule("(?i:'tis)", Form::Split(2)),
    rule("(?i:gonna|gotta|lemme|gimme|wanna)", Form::Split(2)),
    rule("{tag}", Form::NoBreak),
    rule(
        r"(&(?i:md|mdash|ndash);|[\u{96}\u{97}\u{2013}-\u{2015}])",
        Form::Text("--"),
    ),
    rule("{ampersand}", Form::Ampersand),
    rule("&((?i:ht|tl|ur|lr|qc|ql|qr|odq|cdq)|#[0-9]+);", Form::Same),
    // Words.
    rule_before("{word}", "{contraction}", Form::NoSoftHyphens),
    rule_before("{before_not}", "{not}", Form::NoSoftHyphens),
    rule("{word}", Form::NoSoftHyphens),
    rule(
        r"({apostrophe}(?i:n){apostrophe}?|[lLdDjJ]{apostrophe}|(?i:dunkin|somethin|ol){apostrophe}|{apostrophe}(?i:em|till?|cause)|{apostrophe}[2-9]0(?i:s)|[A-HJ-XZn]{any_apostrophe}{unicode_letter}{2}{unicode_letter}*|{unicode_letter}+[aeiouyAEIOUY]{any_apostrophe}[aeiouA-Z]{unicode_letter}*|(?i:cont'd\.?|'twas|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)|(?i:o){any_apostrophe}(?i:o))",
        Form::Same,
    ),
    rule_before("(?i:y){apostrophe}", "{unicode_letter}", Form::Same),
    // Addresses.
    rule(
        r#"(?i:https?)://[^ \t\n\f\r"<>|(){}]+[^ \t\n\f\r"<>|.!?(){},-]"#,
        Form::Same,
    ),
    // The grammar means `,`, `-` and `_`, and excludes all characters from `,` to `_`.
    rule(
        r#"((?i:www)\.([^ \t\n\f\r"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}|([^ \t\n\f\r"`'<>|.!?(){},-_$]+\.)+(?i:com|net|org|edu))(/[^ \t\n\f\r"<>|()]+[^ \t\n\f\r"<>|.!?(){},-])?"#,
        Form::Same,
    ),
    rule(
        r#"((?i:&lt;)|<)?[a-zA-Z0-9][^ \t\n\f\r"<>|()\u{A0}{}]*@([^ \t\n\f\r"<>|(){}.\u{A0}]+\.)*[^ \t\n\f\r"<>|(){}.\u{A0}]+((?i:&gt;)|>)?"#,
        Form::Same,
    ),
    rule("(@[a-zA-Z_][a-zA-Z_0-9]*|#{letter}+)", Form::Same),
    rule_before("{contraction}", "[^A-Za-z]", Form::Quotes(Side::Right)),
    rule_before("{not}", "[^A-Za-z]", Form::Quotes(Side::Right)),
    // Numbers.
    rule("{digit}{1,2}[-/]{digit}{1,2}[-/]{digit}{2,4}", Form::Same),
    rule("[-+]?{number}", Form::NoSoftHyphens),
    rule(
        r"[\u{207A}\u{207B}\u{208A}\u{208B}]?([\u{2070}\u{B9}\u{B2}\u{B3}\u{2074}-\u{2079}]+|[\u{2080}-\u{2089}]+)",
        Form::Same,
    ),
    rule(
        r"({digit}{1,4}[- \u{A0}])?{digit}{1,4}(\\?/|\u{2044}){digit}{1,4}",
        Form::NoBreak,
    ),
    rule(r"[\u{BC}-\u{BE}\u{2153}-\u{215E}]", Form::Fraction),
    rule(
        r"(?i:-(rrb|lrb|rcb|lcb|rsb|lsb)-|c\.d\.s|pro-|anti-|s(&|&amp;)p-500|s(&|&amp;)ls|cap{apostrophe}n|c{apostrophe}est)",
        Form::Ampersand,
    ),
    rule(r"{slash_part}(\\?/{slash_part}){1,2}", Form::Same),
    rule(r"([A-Z]*\$|#)", Form::Same),
    rule(
        r"[\u{A2}-\u{A5}\u{80}\u{20A0}\u{20AC}\u{60B}\u{E3F}\u{20A4}\u{FFE0}\u{FFE1}\u{FFE5}\u{FFE6}]",
        Form::Currency,
    ),
    // Abbreviations. The words after an acronym are those that often begin a sentence.
    rule_before(
        r"{initials}\.",
        r"{space}+(A(?i:|bout|ccording|dditionally|fter|n|s|t)|B(?i:ut)|E(?i:arlier)|H(?i:e|er|ere|owever)|I(?i:f|n|t)|L(?i:ast)|M(?i:any|ore|r\.|s\.)|N(?i:ow)|O(?i:nce|ne|ther|ur)|S(?i:he|ince|o|ome|uch)|T(?i:hat|he|heir|hen|here|hese|hey|his)|W(?i:e|hen|hile|hat)|Y(?i:et|ou)|{tag}){space}",
        Form::Acronym,
    ),
    rule_before(
        r"(?i:ca|figs?|prop|nos?|art|bldg|pp|op)\.",
        "{space}?{unicode_digit}",
        Form::Same,
    ),
    rule_before(r"((?i:pt)[eyEY]|(?i:co))\.", "{blank}(?i:ltd|lim)", Form::Same),
    rule_before(
        "{closing}",
        "{space}({space}|{uppercase}|{tag})",
        Form::WithPeriod,
    ),
    rule_before("{closing}", "(?s:..)", Form::Same),
    rule("{closing}", Form::WithPeriod),
    rule(r"{title}\.", Form::Same),
    rule_before("{title}", "{blank}", Form::Same),
    rule_before("{initials}", "{space}", Form::Same),
    rule_before("{apostrophe}[0-9][0-9]", "{space}", Form::Same),
    rule_before("{file_name}", "({space}|[.?!,])", Form::Same),
    rule_before(r"{word}\.", "{comma}", Form::NoSoftHyphens),
    rule(
        r"((\([0-9]{2,3}\)[ \u{A0}]?|(\+\+?)?([0-9]{2,4}[- \u{A0}])?[0-9]{2,4}[- \u{A0}])[0-9]{3,4}[- \u{A0}]?[0-9]{3,5}|((\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5})",
        Form::NoBreakBrackets,
    ),
    // Signs.
    rule_before(r#"("|(?i:&quot;))"#, "[A-Za-z0-9$]", Form::Quotes(Side::Left)),
    rule(r#"("|(?i:&quot;))"#, Form::Quotes(Side::Right)),
    rule(r"\u{7F}", Form::Nothing),
    rule("(<|(?i:&lt;))", Form::Text("<")),
    rule("(>|(?i:&gt;))", Form::Text(">")),
    rule_before(
        r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]",
        "[^A-Za-z0-9]",
        Form::Brackets,
    ),
    rule(
        r"([\^x=~<>]\.\[\^(?i:x)=[^<]*<>\]|[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))",
        Form::Brackets,
    ),
    rule(r"\{", Form::Text("-LCB-")),
    rule(r"\}", Form::Text("-RCB-")),
    rule(r"\[", Form::Text("-LSB-")),
    rule(r"\]", Form::Text("-RSB-")),
    rule(r"\(", Form::Text("-LRB-")),
    rule(r"\)", Form::Text("-RRB-")),
    rule("-+", Form::Dashes),
    rule(
        r"(\.{3,5}|(\.[ \u{A0}]){2,4}\.|[\u{85}\u{2026}])",
        Form::Text("..."),
    ),
    rule("(@+|#+|_+)", Form::Same),
    rule(r"(\*+|(\\\*){1,3})", Form::Same),
    rule("{comma}", Form::Same),
    rule("[?!]+", Form::Same),
    rule(
        r"[.\u{A1}\u{BF}\u{37E}\u{589}\u{61F}\u{6D4}\u{700}-\u{702}\u{7FA}\u{3002}]",
        Form::Same,
    ),
    rule("=", Form::Same),
    rule("/", Form::Same),
    // Words with hyphens, and what is left.
    rule_before(r"{dashed}\.", "{comma}", Form::NoSoftHyphens),
    rule("{dashed}", Form::NoSoftHyphens),
    rule_before(r"{hyphenated}\.", "{comma}", Form::Same),
    rule("{hyphenated}", Form::Same),
    rule_before(r"{ampersand_name}\.", "{comma}", Form::Ampersand),
    rule("{ampersand_name}", Form::Ampersand),
    rule_before("'", r"[A-Za-z][^ \t\n\r\u{A0}]", Form::Quotes(Side::Left)),
    rule("{contraction}", Form::Quotes(Side::Right)),
    rule("{not}", Form::Quotes(Side::Right)),
    rule(
        r"({apostrophe}|''|[`\u{2018}-\u{201F}\u{91}-\u{94}\u{2039}\u{203A}\u{AB}\u{BB}]{1,2})",
        Form::Quotes(Side::Right),
    ),
    rule("(<<|>>)", Form::Same),
    rule(
        r"[+%&~^|\\\u{A6}-\u{A9}\u{AC}\u{AE}-\u{BA}\u{D7}\u{F7}\u{387}\u{5BE}\u{5C0}\u{5C3}\u{5C6}\u{5F3}\u{5F4}\u{600}-\u{603}\u{606}-\u{60A}\u{60C}\u{614}\u{61B}\u{61E}\u{66A}\u{66D}\u{703}-\u{70D}\u{7F6}-\u{7F8}\u{964}\u{965}\u{E4F}\u{1FBD}\u{2016}\u{2017}\u{2020}-\u{2023}\u{2030}-\u{2038}\u{203B}\u{203E}-\u{2042}\u{2044}\u{207A}-\u{207F}\u{208A}-\u{208E}\u{2100}-\u{214F}\u{2190}-\u{2BFF}\u{3012}\u{30FB}\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF20}\u{FF3B}-\u{FF40}\u{FF5B}-\u{FF65}]",
        Form::Same,
    ),
    rule(
        r"(\x00|{blank}+|[\u{200B}\u{200E}\u{200F}\u{FEFF}])",
        Form::Nothing,
    ),
    rule("{line_end}", Form::LineEnd),
    rule("(?i:&nbsp;)", Form::Nothing),
];
