namespace Sluice.Platform.Site;

/// <summary>What pages that are made by modules have to know of the storefront.</summary>
/// <param name="AssetsPrefix">Where scripts and styles of this build are: <c>/assets/…/</c>.</param>
/// <param name="SiteUrl">The shop's public address without a slash at its end, or empty where nobody said.</param>
public sealed record SiteLook(string AssetsPrefix, string SiteUrl);
