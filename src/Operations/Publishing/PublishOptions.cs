using System.ComponentModel.DataAnnotations;

namespace Sluice.Operations.Publishing;

/// <summary>Where the pages and data that everybody sees alike are published as files, for a CDN or a web server. A node with the role ops does it, within a second of each change.</summary>
public sealed class PublishOptions
{
    /// <summary>A folder for a web server: <c>current</c> in it is the newest whole site. Empty: none.</summary>
    [Required(AllowEmptyStrings = true)] public string Folder { get; init; } = "";

    /// <summary>An S3 bucket. Empty: none. Its keys are <c>SecretKey</c> with <c>AccessKey</c>, or what the machine gives (environment, role).</summary>
    [RegularExpression("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", ErrorMessage = "the name of a bucket, 3 to 63 of a-z 0-9 . -")] public string Bucket { get; init; } = "";

    /// <summary>Where the bucket is when it is not at Amazon: <c>https://s3.example.com</c>.</summary>
    [RegularExpression("https?://[^/?#]+/?", ErrorMessage = "an address such as https://s3.example.com")] public string BucketUrl { get; init; } = "";

    /// <summary>The bucket's region.</summary>
    [RegularExpression("[a-z0-9-]{1,40}", ErrorMessage = "a region such as eu-central-1")] public string Region { get; init; } = "us-east-1";

    /// <summary>The key id for the bucket; empty: what the machine gives.</summary>
    [Required(AllowEmptyStrings = true)] public string AccessKey { get; init; } = "";

    /// <summary>The secret to <c>AccessKey</c>. Better in the environment than on the command line.</summary>
    [Required(AllowEmptyStrings = true)] public string SecretKey { get; init; } = "";

    /// <summary>
    /// Caches that are told which addresses have changed, each as <c>METHOD base</c>: <c>PURGE http://10.0.0.5:6081</c> (or <c>BAN</c>) for Varnish, <c>GET http://10.0.0.5/__purge</c> for nginx' purge module.
    /// The address is put behind it.
    /// </summary>
    [PurgeTargets] public IReadOnlyList<string> Purge { get; init; } = [];

    /// <summary>The shop's public address, <c>https://shop.example.com</c>: by it Cloudflare knows what to purge, and pages name themselves.</summary>
    [RegularExpression("https?://[^/?#]+", ErrorMessage = "an address such as https://shop.example.com, without a slash at its end")] public string SiteUrl { get; init; } = "";

    /// <summary>The id of the zone at Cloudflare. Empty: none.</summary>
    [RegularExpression("[A-Za-z0-9]{1,64}", ErrorMessage = "the id of a zone")] public string CloudflareZone { get; init; } = "";

    /// <summary>A token that may purge that zone.</summary>
    [Required(AllowEmptyStrings = true)] public string CloudflareTokenSecret { get; init; } = "";

    /// <summary>Cloudflare's API, or what speaks like it.</summary>
    [RegularExpression("https?://[^?#]+", ErrorMessage = "an address such as https://api.cloudflare.com/client/v4")] public string CloudflareUrl { get; init; } = "https://api.cloudflare.com/client/v4";

    /// <summary>How often what is published is compared with what should be, besides after each change, 1 s – 1 day. Heals what an exporter that died or was behind has left in a bucket.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")] public TimeSpan CheckEvery { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Whether there is a place to publish to.</summary>
    internal bool IsOn => Folder.Length > 0 || Bucket.Length > 0;

    /// <summary>Whether somebody in front is to be told what changed.</summary>
    internal bool HasCaches => Purge.Count > 0 || CloudflareZone.Length > 0;

    /// <summary>What does not fit together, for people.</summary>
    public IEnumerable<string> Contradictions()
    {
        if ((AccessKey.Length == 0) != (SecretKey.Length == 0))
        {
            yield return "Publish:AccessKey and Publish:SecretKey go together";
        }

        if (CloudflareZone.Length > 0 && (CloudflareTokenSecret.Length == 0 || SiteUrl.Length == 0))
        {
            yield return "Publish:CloudflareZone needs Publish:CloudflareTokenSecret and Publish:SiteUrl";
        }
    }
}

/// <summary>At most eight of <c>METHOD http://host…</c>.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class PurgeTargetsAttribute() : ValidationAttribute("at most eight, each as 'PURGE http://host:port', 'BAN http://host:port' or 'GET http://host/path'")
{
    public override bool IsValid(object? value) => value is IReadOnlyList<string> { Count: <= 8 } targets && targets.All(target => TryParse(target, out _, out _));

    internal static bool TryParse(string target, out string method, out string prefix)
    {
        (method, prefix) = ("", "");
        if (target.Split(' ', StringSplitOptions.RemoveEmptyEntries) is not [var verb, var address] || verb is not ("PURGE" or "BAN" or "GET") ||
            !Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Query.Length > 0 || uri.Fragment.Length > 0 || uri.UserInfo.Length > 0)
        {
            return false;
        }

        (method, prefix) = (verb, address.TrimEnd('/'));
        return true;
    }
}
