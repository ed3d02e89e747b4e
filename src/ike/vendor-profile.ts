/**
 * As whom we negotiate. `windows-2003` sends the vendor IDs of Windows Server 2003, its form of offers, a fourth quick
 * mode message and reliable deletes to Windows, cuts messages as it does, and repeats main mode 2 and 4 by itself.
 */
export const vendorProfiles = ['ipseckit', 'windows-2003'] as const;

export type VendorProfile = (typeof vendorProfiles)[number];
