using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Http;

/// <summary>An OpenID Connect issuer whose tokens are users' tokens here, beside Sluice's own.</summary>
public sealed class OidcOptions
{
    /// <summary>The issuer, as its tokens say it: <c>https://login.example.org</c>. Its keys are found through <c>/.well-known/openid-configuration</c> under it. Empty: none. Without TLS only on this machine.</summary>
    public string Issuer { get; init; } = "";

    /// <summary>What its tokens must be made for (<c>aud</c>); not empty where there is an issuer, or tokens of every other site that trusts it would be good here.</summary>
    public string Audience { get; init; } = "";

    /// <summary>How old its keys get before they are asked for again, 5 min – 7 days.</summary>
    [Range(typeof(TimeSpan), "00:05:00", "7.00:00:00")] public TimeSpan KeysAge { get; init; } = TimeSpan.FromHours(12);

    /// <summary>A token of an unknown key has the keys asked for again, once in this time at most, 1 s – 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")] public TimeSpan UnknownKeyEvery { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the issuer may take to answer, 100 ms – 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan CallTimeMax { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Settings that do not go together, one sentence each.</summary>
    public IEnumerable<string> Contradictions()
    {
        if (Issuer.Length > 0 && (!Uri.TryCreate(Issuer, UriKind.Absolute, out var address) || (address.Scheme != Uri.UriSchemeHttps && !(address.Scheme == Uri.UriSchemeHttp && address.IsLoopback))))
        {
            yield return "Oidc:Issuer: an https address (http only on this machine)";
        }

        if ((Issuer.Length > 0) != (Audience.Length > 0))
        {
            yield return "Oidc:Issuer, Oidc:Audience: both or none";
        }
    }
}
