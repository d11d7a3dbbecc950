//! The transformations that a value goes through before the operator sees it. No IO.

use crate::names::vocabulary;

vocabulary! {
    /// A transformation, by name.
    Transformation {
        Base64Decode = "base64Decode", Base64DecodeExt = "base64DecodeExt", Base64Encode = "base64Encode",
        CmdLine = "cmdLine" | "cmd_line", CompressWhitespace = "compressWhitespace", CssDecode = "cssDecode",
        EscapeSeqDecode = "escapeSeqDecode", HexDecode = "hexDecode", HexEncode = "hexEncode",
        HtmlEntityDecode = "htmlEntityDecode", JsDecode = "jsDecode", Length = "length", Lowercase = "lowercase", Md5 = "md5",
        None = "none", NormalisePath = "normalisePath" | "normalizePath",
        NormalisePathWin = "normalisePathWin" | "normalizePathWin", ParityEven7bit = "parityEven7bit",
        ParityOdd7bit = "parityOdd7bit", ParityZero7bit = "parityZero7bit", PhpArgsNames = "phpArgsNames",
        RemoveComments = "removeComments", RemoveCommentsChar = "removeCommentsChar", RemoveNulls = "removeNulls",
        RemoveWhitespace = "removeWhitespace", ReplaceComments = "replaceComments", ReplaceNulls = "replaceNulls", Sha1 = "sha1",
        SqlHexDecode = "sqlHexDecode", Trim = "trim", TrimLeft = "trimLeft", TrimRight = "trimRight", Uppercase = "uppercase",
        UrlDecode = "urlDecode", UrlDecodeUni = "urlDecodeUni", UrlEncode = "urlEncode", Utf8ToUnicode = "utf8toUnicode",
    }
}
